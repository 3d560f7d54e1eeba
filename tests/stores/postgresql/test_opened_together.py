"""Stores that open an empty database at the same moment: one makes the schema for all."""

import asyncio

from tests.services import Database
from tests.stores.clock import FakeClock
from unbroken.stores import open_store
from unbroken.stores.postgresql.address import PostgreSQL

PREFIX = "together_"


async def test_the_schema_is_made_once(postgresql: Database, postgresql_url: str) -> None:
    postgresql.drop(PREFIX)
    address = PostgreSQL(url=postgresql_url, prefix=PREFIX)
    stores = [open_store(address, clock=FakeClock()) for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    for number, store in enumerate(stores):
        await store.register(str(number))
        await store.close()
    assert postgresql.run("SELECT count(*) FROM together_replicas") == [(8,)]
    versions = postgresql.run("SELECT number FROM together_schema_version ORDER BY number")
    assert versions == [(0,), (1,)]
    postgresql.drop(PREFIX)
