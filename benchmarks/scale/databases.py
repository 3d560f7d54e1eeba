"""Two databases on one server, an empty and a full one: made, filled quickly, and looked at."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from benchmarks.rivals.databases import Server
from benchmarks.scale.flows import Order
from unbroken import Unbroken
from unbroken.stores.sql import read_catalogue

STATEMENTS = read_catalogue(Path(__file__).parent / "sql")
PAGE = 250_000
MODELS = {"model-finished": "finish", "model-sleeping": "sleep", "model-waiting": "wait"}
# Bytes on the disk for each flow, with its indexes and effects; and the log meanwhile.
BYTES_FINISHED, BYTES_SUSPENDED, BYTES_BESIDES = 550, 900, 3_000_000_000
# For the session that fills: what it writes may be written again.
FAST = {"synchronous_commit": "off", "maintenance_work_mem": "512MB"}


class Filled(msgspec.Struct, frozen=True):
    """What stands in the full database, and what it took to get it there."""

    finished: int
    suspended: int
    bytes: int
    seconds: float
    indexing: float


@asynccontextmanager
async def connected(url: str, **settings: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """Give a connection of the driver, beside the store."""
    connection = await asyncpg.connect(url, server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close()


async def check_room(url: str, finished: int, suspended: int) -> str:
    """Say how much is needed and how much is free; end the program if it does not fit."""
    needed = finished * BYTES_FINISHED + suspended * BYTES_SUSPENDED + BYTES_BESIDES
    async with connected(url) as connection:
        folder = Path(await connection.fetchval("SHOW data_directory"))
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return f"about {gigabytes(needed)} needed; how much is free is not known from here"
    told = f"about {gigabytes(needed)} needed, {gigabytes(free)} free"
    if free < needed:
        raise SystemExit(f"does not fit on the server's disk: {told}; choose --finished less")
    return told


class Pair:
    """An empty and a full database on one server, by the name that both begin with."""

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self._names = f"{name}_empty", f"{name}_full"
        self.empty, self.full = (server.url(one) for one in self._names)

    async def make(self) -> None:
        """Make both anew, with the schema and one flow of each kind that is copied."""
        await self.drop()
        for name in self._names:
            await self._make(name)

    async def empty_again(self) -> None:
        """Make the empty one anew: crowds have been there. Clean the full one."""
        await self._drop(self._names[0])
        await self._make(self._names[0])
        await clean(self.full)

    async def _make(self, name: str) -> None:
        await self._server.run(f"CREATE DATABASE {name}")
        await _make_models(self._server.url(name))

    async def drop(self) -> None:
        """Drop both."""
        for name in self._names:
            await self._drop(name)

    async def _drop(self, name: str) -> None:
        await self._server.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def exists(self) -> bool:
        """Whether both were left by an earlier run."""
        for url in (self.empty, self.full):
            try:
                async with connected(url):
                    pass
            except asyncpg.InvalidCatalogNameError:
                return False
        return True


async def _make_models(url: str) -> None:
    app = Unbroken(url, suspend_after=timedelta(0))
    handle = app.register(Order())
    async with app:
        for id_, what in MODELS.items():
            await handle.schedule(id_, what, 1)
        await handle.completion("model-finished")
        await until_idle(url)


async def until_idle(url: str) -> None:
    """Wait until no flow runs or is due."""
    async with connected(url) as connection:
        while await connection.fetchval(STATEMENTS["under_way"]):  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.05)


async def fill(url: str, finished: int, sleeping: int, waiting: int) -> Filled:
    """Copy the models so often, without indexes; make the indexes that were there; clean up."""
    began = time.perf_counter()
    total = finished + sleeping + waiting
    async with connected(url, **FAST) as connection:
        indexes = await connection.fetch(STATEMENTS["indexes"])
        for index in indexes:
            await connection.execute(index["drops"])
        base = await connection.fetchval(STATEMENTS["newest"])
        for first in range(1, total + 1, PAGE):
            last = min(first + PAGE - 1, total)
            values = (first, last, base, sleeping, waiting, total)
            await connection.execute(STATEMENTS["fill"], *values, timeout=600)
        copied = time.perf_counter()
        for index in indexes:
            await connection.execute(index["makes"], timeout=3600)
        if await connection.fetch(STATEMENTS["indexes"]) != indexes:
            raise SystemExit("the indexes are not those that the migrations made")
        indexing = time.perf_counter() - copied
        await connection.execute(STATEMENTS["count_on"])
    await clean(url)
    return await _look(url, time.perf_counter() - began, indexing)


async def clean(url: str) -> None:
    """Do what autovacuum would do in time, and begin with an empty log."""
    async with connected(url) as connection:
        await connection.execute(STATEMENTS["clean"], timeout=3600)
        await connection.execute("CHECKPOINT", timeout=3600)


async def _look(url: str, seconds: float, indexing: float) -> Filled:
    async with connected(url) as connection:
        found = await connection.fetchrow(STATEMENTS["sizes"], timeout=600)
    assert found is not None
    return Filled(found["finished"], found["suspended"], found["bytes"], seconds, indexing)


def gigabytes(size: float) -> str:
    """Write a size on disk."""
    return f"{size / 1e9:.2f} GB"
