"""Addresses, rights and schemas that cannot work: one clear line, and never the password."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.postgresql.proxy import Proxy
from tests.postgresql.server import OwnServer, free_port
from tests.services import Database, with_address, with_database, with_options
from unbroken import Unbroken
from unbroken.model.errors import ConfigurationError, SchemaTooNew, StoreUnavailable, UnbrokenError
from unbroken.stores.postgresql.schema import check_version

SECRET = "correct-horse"
HOST = f"postgresql://keeper:{SECRET}@127.0.0.1:5432/shop"


async def opened(url: str) -> None:
    """Start an app, and stop it if that works."""
    async with Unbroken(url):
        pass


async def refusal(url: str, kind: type[UnbrokenError]) -> str:
    """Give what is said when the URL does not work: one line, and nothing secret."""
    with pytest.raises(kind) as raised:
        await opened(url)
    told = "".join(f"{one} {one!r}" for one in (raised.value, raised.value.__cause__))
    assert SECRET not in told
    text = str(raised.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://keeper:{SECRET}@127.0.0.1:many/shop",
        f"postgresql://keeper:{SECRET}@127.0.0.1:99999/shop",
        f"postgresql://keeper:{SECRET}@[127.0.0.1/shop",
        f"postgresql://keeper:{SECRET}@127.0.0.1/shop#more",
        f"postgresql://keeper:{SECRET}@127.0.0.1/sh%00op",
        f"{HOST}?prefix=Robert'); DROP TABLE",
        f"{HOST}?prefix=",
        f"{HOST}?prefix=9lives",
        f"{HOST}?prefix=Shop_",
        f"{HOST}?prefix={'x' * 60}",
        f"{HOST}?pooler=session",
        f"{HOST}?notify=maybe",
        f"{HOST}?patience=soon",
        f"{HOST}?patience=0",
        f"{HOST}?patience=nan",
        f"{HOST}?listen_url=http://127.0.0.1",
    ],
)
async def test_an_address_that_cannot_be_meant_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Unbroken(url)
    assert SECRET not in f"{raised.value} {raised.value.__cause__!r}"
    assert "\n" not in str(raised.value)


async def test_nobody_listens_there() -> None:
    url = with_address(HOST, f"127.0.0.1:{free_port()}")
    assert "127.0.0.1" in await refusal(url, StoreUnavailable)


async def test_no_such_host() -> None:
    url = with_address(HOST, "nowhere.invalid:5432")
    assert "nowhere.invalid" in await refusal(url, StoreUnavailable)


async def test_no_such_database(postgresql: Database) -> None:
    url = with_database(postgresql.url, "not_made_yet")
    assert "not_made_yet" in await refusal(url, ConfigurationError)


async def test_a_host_that_never_answers_is_given_up_in_time(proxy: Proxy) -> None:
    proxy.silence()
    url = with_options(proxy.url, patience=0.5)
    await asyncio.wait_for(refusal(url, StoreUnavailable), 20)


@pytest.fixture
def strict_server(newest_server: OwnServer) -> OwnServer:
    """Give a server that asks `keeper` for a password, and gives it no rights to make tables."""
    for statement in (
        f"CREATE ROLE keeper LOGIN PASSWORD '{SECRET}'",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    ):
        newest_server.run(statement)
    newest_server.let_in(
        "host all postgres 127.0.0.1/32 trust\nhost postgres keeper 127.0.0.1/32 scram-sha-256"
    )
    newest_server.reload()
    return newest_server


def as_keeper(server: OwnServer, password: str) -> str:
    return server.url.replace("postgres@", f"keeper:{password}@")


async def test_a_wrong_password_and_a_place_where_nobody_is_let_in(
    strict_server: OwnServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    text = await refusal(as_keeper(strict_server, f"{SECRET}-not"), ConfigurationError)
    assert "password" in text
    strict_server.run("CREATE DATABASE elsewhere")
    url = with_database(as_keeper(strict_server, SECRET), "elsewhere")
    await refusal(url, ConfigurationError)
    assert SECRET not in caplog.text


async def test_a_right_is_missing_and_then_given(strict_server: OwnServer) -> None:
    url = as_keeper(strict_server, SECRET)
    text = await refusal(url, StoreUnavailable)
    assert "CREATE" in text
    strict_server.run("GRANT CREATE ON SCHEMA public TO keeper")
    await opened(url)
    strict_server.run("REVOKE CREATE ON SCHEMA public FROM keeper")
    await opened(url)


async def test_a_schema_of_a_newer_version_is_left_alone(postgresql: Database) -> None:
    url = with_options(postgresql.url, prefix="newer_")
    await opened(url)
    postgresql.run("INSERT INTO newer_schema_version SELECT 999, 'from_the_future', 0")
    before = postgresql.run("SELECT * FROM newer_schema_version ORDER BY 1")
    text = await refusal(url, SchemaTooNew)
    assert "999" in text
    assert postgresql.run("SELECT * FROM newer_schema_version ORDER BY 1") == before
    assert postgresql.run("SELECT * FROM newer_replicas") == []
    postgresql.drop("newer_")


async def test_tables_of_somebody_else_are_left_alone(postgresql: Database) -> None:
    postgresql.run("CREATE TABLE foreign_flows (theirs int)")
    text = await refusal(with_options(postgresql.url, prefix="foreign_"), ConfigurationError)
    assert "foreign_flows" in text
    assert postgresql.tables("foreign_") == ["foreign_flows"]
    postgresql.drop("foreign_")


async def test_two_prefixes_share_a_database_and_nothing_else(postgresql: Database) -> None:
    for prefix in ("one_", "two_"):
        await opened(with_options(postgresql.url, prefix=prefix))
    names = [
        {name.removeprefix(prefix) for name in postgresql.tables(prefix)}
        for prefix in ("one_", "two_")
    ]
    assert names[0] == names[1] != set()
    for prefix in ("one_", "two_"):
        postgresql.drop(prefix)


def test_a_server_that_is_too_old_is_named() -> None:
    with pytest.raises(ConfigurationError, match="PostgreSQL 12") as raised:
        check_version(12_00_22)
    assert "\n" not in str(raised.value)


async def test_many_processes_that_open_a_new_database_together_make_it_once(
    postgresql: Database,
) -> None:
    url = with_options(postgresql.url, prefix="together_")
    await asyncio.gather(*(opened(url) for _ in range(8)))
    numbers = postgresql.run("SELECT number FROM together_schema_version")
    assert len(numbers) == len(set(numbers)) > 0
    postgresql.drop("together_")
