"""A write that is on its way for ever, or for whom nobody waits any more: it is never cancelled.

The driver would ask the server to stop it, perhaps in the middle of a commit. What does not answer
is ended by closing the socket.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest

from tests.postgresql.faults import Fault, Where
from tests.postgresql.proxy import Proxy
from tests.postgresql.test_networks_that_fail import BATCH, DONE, ONCE_EACH, World, struck
from tests.services import Database, with_options
from unbroken import Unbroken, capture, flow

PATIENCE = 1
WAITING = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'unbroken'
       AND wait_event_type = 'Lock'"""

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]


@asynccontextmanager
async def locked(database: Database) -> AsyncIterator[None]:
    """Let somebody else hold the rows of all flows."""
    other = await asyncpg.connect(database.url)
    try:
        await other.execute("BEGIN; SELECT * FROM unbroken_flows FOR UPDATE")
        yield
    finally:
        await other.close()


async def test_a_statement_that_never_returns_is_left_by_closing_the_socket(
    proxy: Proxy, postgresql: Database
) -> None:
    world = World(with_options(proxy.url, patience=PATIENCE))
    async with world.app:
        scheduled = await world.orders.schedule("one", "x")
        await world.until_begun("one first")
        async with locked(postgresql):
            opened = proxy.connections
            world.gate.set()
            await world.until_told("store.unavailable", 3)
            # The server is still at it, and knows nothing of our having gone.
            assert postgresql.run(WAITING)[0][0] > 0
            while proxy.connections <= opened:  # noqa: ASYNC110 - the proxy sets no events
                await asyncio.sleep(0.001)
        assert await scheduled.completion() == DONE
    assert world.begun == ONCE_EACH
    assert world.told("replica.fenced") == []
    assert proxy.cancels == 0


async def test_a_task_of_a_flow_that_is_cancelled_while_its_write_is_on_its_way(
    proxy: Proxy, postgresql: Database
) -> None:
    begun: Counter[str] = Counter()
    tasks: list[asyncio.Task[str]] = []

    async def act(name: str) -> str:
        begun[name] += 1
        return f"{name}!"

    @flow
    async def order(name: str) -> list[str]:
        async with asyncio.TaskGroup() as group:
            beside = group.create_task(capture("beside", act, "beside"))
            tasks.append(beside)
        told = "cut" if beside.cancelled() else beside.result()
        return [told, await capture("after", act, "after")]

    app = Unbroken(proxy.url, lease=timedelta(minutes=5))
    orders = app.register(order)
    async with app:
        proxy.strike(Fault(Where.ANSWER_HELD, "unbroken_effects", also=BATCH))
        scheduled = await orders.schedule("one", "x")
        await struck(proxy)
        opened = proxy.connections
        tasks[0].cancel()
        proxy.release()
        # Whoever cancels it waits for what is on its way: it is recorded, and so is the cut.
        assert await scheduled.completion() == ["cut", "after!"]
        assert proxy.connections == opened
    assert begun == {"beside": 1, "after": 1}
    keys = postgresql.run('SELECT key FROM unbroken_effects ORDER BY key COLLATE "C"')
    assert keys == [("after",), ("beside",), ("beside.cut",)]
    assert proxy.cancels == 0
