"""A server of a test's own does what it is told, and so does a pooler."""

from __future__ import annotations

import asyncpg
import pytest

from tests.postgresql.pooler import Pooler
from tests.postgresql.server import OwnServer

GONE = (ConnectionError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError)


async def test_it_is_of_the_version_that_it_says(own_server: OwnServer) -> None:
    connection = await asyncpg.connect(own_server.url)
    assert connection.get_server_version().major == own_server.version
    await connection.close()


async def test_what_was_committed_survives_a_kill_of_the_server(own_server: OwnServer) -> None:
    own_server.run("CREATE TABLE written (number int)")
    connection = await asyncpg.connect(own_server.url)
    await connection.execute("INSERT INTO written VALUES (1)")
    own_server.kill()
    assert not own_server.answers()
    with pytest.raises(GONE):
        await connection.execute("INSERT INTO written VALUES (2)")
    connection.terminate()
    own_server.start()
    assert own_server.run("SELECT * FROM written") == [(1,)]


async def test_one_killed_backend_ends_the_others(own_server: OwnServer) -> None:
    first, second = [await asyncpg.connect(own_server.url) for _ in range(2)]
    assert set(own_server.backends()) == {first.get_server_pid(), second.get_server_pid()}
    own_server.kill_backend(first.get_server_pid())
    for one in (first, second):
        with pytest.raises(GONE):
            while True:
                await one.execute("SELECT 1")
        one.terminate()
    assert own_server.log.read_text().count("terminating any other active") == 1


async def test_a_clean_stop_and_a_start(own_server: OwnServer) -> None:
    own_server.stop()
    assert not own_server.answers()
    own_server.set("default_transaction_read_only = on")
    own_server.start()
    connection = await asyncpg.connect(own_server.url)
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await connection.execute("CREATE TABLE written (number int)")
    await connection.close()


async def test_who_may_connect_is_read_again(newest_server: OwnServer) -> None:
    newest_server.let_in("host all nobody_else 127.0.0.1/32 trust")
    newest_server.run("SELECT pg_reload_conf()")
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        while True:
            connection = await asyncpg.connect(newest_server.url)
            await connection.close()


async def test_a_pooler_shares_connections_between_transactions(pooler: Pooler) -> None:
    clients = [await asyncpg.connect(pooler.url, statement_cache_size=0) for _ in range(8)]
    backends = {await one.fetchval("SELECT pg_backend_pid()") for one in clients}
    assert len(backends) < len(clients)
    for one in clients:
        await one.close()
