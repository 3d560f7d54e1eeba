"""The network of these tests does what it says: each fault, and who knows what afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest

from tests.postgresql.faults import Fault, Where
from tests.postgresql.proxy import Proxy
from tests.services import Database

INSERT = "INSERT INTO written VALUES ($1)"
CUT = (ConnectionError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)


@pytest.fixture
async def connection(proxy: Proxy, postgresql: Database) -> AsyncIterator[asyncpg.Connection]:
    postgresql.run("DROP TABLE IF EXISTS written")
    postgresql.run("CREATE TABLE written (number int)")
    connected = await asyncpg.connect(proxy.url)
    yield connected
    connected.terminate()


async def test_what_is_sent_arrives_and_is_counted(
    proxy: Proxy, connection: asyncpg.Connection, postgresql: Database
) -> None:
    for number in range(3):
        await connection.execute(INSERT, number)
    await connection.executemany(INSERT, [(number,) for number in range(3, 300)])
    assert postgresql.run("SELECT count(*) FROM written") == [(300,)]
    assert proxy.statements[INSERT] >= 3
    large = await connection.fetchrow("SELECT repeat('x', 30000000) AS text")
    assert large is not None
    assert len(large["text"]) == 30_000_000


@pytest.mark.parametrize("prepared", [True, False])
@pytest.mark.parametrize(
    ("where", "landed"),
    [
        (Where.REQUEST_LOST, False),
        (Where.REQUEST_TORN, False),
        (Where.ANSWER_LOST, True),
        (Where.ANSWER_TORN, True),
    ],
)
async def test_a_cut_request_has_landed_or_not_as_the_strike_says(
    proxy: Proxy,
    connection: asyncpg.Connection,
    postgresql: Database,
    where: Where,
    landed: bool,
    prepared: bool,
) -> None:
    await connection.execute(INSERT if prepared else "SELECT 0", *[0] * prepared)
    before = postgresql.run("SELECT count(*) FROM written")[0][0]
    proxy.strike(Fault(where, "written"))
    with pytest.raises(CUT):
        await connection.execute(INSERT if prepared else INSERT.replace("$1", "1"), *[1] * prepared)
    (strike,) = proxy.strikes
    assert (strike.where, strike.landed) == (where, landed)
    assert postgresql.run("SELECT count(*) FROM written") == [(before + landed,)]


@pytest.mark.parametrize("passing", [1, 4, 5, 6, 20])
async def test_a_message_can_be_torn_at_any_byte(
    proxy: Proxy, connection: asyncpg.Connection, postgresql: Database, passing: int
) -> None:
    proxy.strike(Fault(Where.REQUEST_TORN, "written", passing=passing))
    with pytest.raises(CUT):
        await connection.execute("INSERT INTO written VALUES (1)")
    assert postgresql.run("SELECT * FROM written") == []


async def test_an_answer_that_is_an_error_did_not_land(
    proxy: Proxy, connection: asyncpg.Connection, postgresql: Database
) -> None:
    proxy.strike(Fault(Where.ANSWER_LOST, "written"))
    with pytest.raises(CUT):
        await connection.execute("INSERT INTO written VALUES (1 / 0)")
    assert [one.landed for one in proxy.strikes] == [False]


async def test_a_late_request_lands_after_its_client_has_given_up(
    proxy: Proxy, connection: asyncpg.Connection, postgresql: Database
) -> None:
    proxy.strike(Fault(Where.REQUEST_LATE, "written"))
    with pytest.raises(CUT):
        await connection.execute(INSERT, 1)
    assert postgresql.run("SELECT * FROM written") == []
    (strike,) = proxy.strikes
    assert strike.landed is None
    proxy.release()
    await asyncio.to_thread(proxy.wait_for, lambda: strike.landed is not None)
    assert strike.landed
    assert postgresql.run("SELECT * FROM written") == [(1,)]


@pytest.mark.parametrize(("where", "rows"), [(Where.REQUEST_HELD, []), (Where.ANSWER_HELD, [(1,)])])
async def test_what_is_held_goes_on_when_it_is_released(
    proxy: Proxy, connection: asyncpg.Connection, postgresql: Database, where: Where, rows: object
) -> None:
    proxy.strike(Fault(where, "written"))
    writing = asyncio.create_task(connection.execute(INSERT, 1))
    await asyncio.to_thread(proxy.wait_for, lambda: proxy.strikes)
    assert postgresql.run("SELECT * FROM written") == rows
    assert not writing.done()
    proxy.release()
    assert await writing == "INSERT 0 1"


async def test_a_connection_that_is_cut_while_held_ends(
    proxy: Proxy, connection: asyncpg.Connection, postgresql: Database
) -> None:
    proxy.strike(Fault(Where.REQUEST_HELD, "written"))
    writing = asyncio.create_task(connection.execute(INSERT, 1))
    await asyncio.to_thread(proxy.wait_for, lambda: proxy.strikes)
    assert proxy.cut() == 1
    with pytest.raises(CUT):
        await writing
    proxy.release()
    assert postgresql.run("SELECT * FROM written") == []


async def test_a_fault_spares_as_many_as_it_is_told_and_comes_as_often(
    proxy: Proxy, connection: asyncpg.Connection, postgresql: Database
) -> None:
    proxy.strike(Fault(Where.REQUEST_LOST, "written", after=2, times=2))
    for number in range(2):
        await connection.execute(INSERT, number)
    for number in range(2):
        again = await asyncpg.connect(proxy.url)
        with pytest.raises(CUT):
            await again.execute(INSERT, number)
        again.terminate()
    last = await asyncpg.connect(proxy.url)
    await last.execute(INSERT, 2)
    await last.close()
    assert postgresql.run("SELECT * FROM written") == [(0,), (1,), (2,)]
    assert len(proxy.strikes) == 2


async def test_a_silent_network_takes_connections_and_never_answers(
    proxy: Proxy, connection: asyncpg.Connection
) -> None:
    proxy.silence()
    asking = asyncio.create_task(connection.fetchval("SELECT 7"))
    with pytest.raises(TimeoutError):
        await asyncpg.connect(proxy.url, timeout=1)
    assert not asking.done()
    proxy.end_silence()
    assert await asking == 7


async def test_a_network_refuses_and_accepts_again(
    proxy: Proxy, connection: asyncpg.Connection
) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(proxy.url)
    assert await connection.fetchval("SELECT 7") == 7
    proxy.accept()
    again = await asyncpg.connect(proxy.url)
    await again.close()


async def test_a_cancel_is_seen(proxy: Proxy, connection: asyncpg.Connection) -> None:
    proxy.strike(Fault(Where.ANSWER_HELD, "SELECT 7"))
    asking = asyncio.create_task(connection.fetchval("SELECT 7"))
    await asyncio.to_thread(proxy.wait_for, lambda: proxy.strikes)
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    proxy.release()
    await asyncio.to_thread(proxy.wait_for, lambda: proxy.cancels == 1)
