"""No answer, a late or slow one, no room: the app waits, says so, goes on, and cancels nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from tests.postgresql.faults import Fault, Where
from tests.postgresql.proxy import Proxy
from tests.postgresql.server import OwnServer
from tests.services import Database, with_options
from unbroken import Unbroken, capture, current_flow, effect, flow, lock
from unbroken.engine.events import Event

LONG = timedelta(minutes=5)
PATIENCE = 1
# What each batch changes first.
BATCH = "_fences"

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]


class World:
    """An app over the network of a test, what it tells, and what its bodies did outside."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.begun: Counter[str] = Counter()
        self.heard: list[Event] = []
        self._changed = asyncio.Event()
        self.gate = asyncio.Event()
        self.app = Unbroken(url, **{"lease": LONG, **settings})
        self.app.subscribe(self._hear)

        async def act(name: str) -> str:
            self.begun[f"{current_flow().id} {name}"] += 1
            return f"{name}!"

        async def wait(name: str) -> str:
            await self.gate.wait()
            return await act(name)

        @effect(at_most_once=True)
        async def act_once(name: str) -> str:
            return await act(name)

        @flow
        async def order(name: str) -> list[str]:
            first = await capture("first", act, "first")
            second = await capture("second", wait, "second")
            return [first, second, await act_once("once")]

        @flow
        async def guarded(name: str) -> str:
            async with lock("door"):
                return await capture("guarded", act, "guarded")

        self.orders = self.app.register(order)
        self.guarded = self.app.register(guarded)

    def _hear(self, event: Event) -> None:
        self.heard.append(event)
        self._changed.set()

    def told(self, name: str) -> list[str]:
        return [event.text for event in self.heard if event.name == name]

    async def until_told(self, name: str, times: int = 1) -> None:
        while len(self.told(name)) < times:
            self._changed.clear()
            await self._changed.wait()

    async def until_begun(self, what: str) -> None:
        while not self.begun[what]:  # noqa: ASYNC110 - bodies set no events
            await asyncio.sleep(0.001)


DONE = ["first!", "second!", "once!"]
ONCE_EACH = {"one first": 1, "one second": 1, "one once": 1}


@pytest.fixture
async def world(proxy: Proxy) -> AsyncIterator[World]:
    """Give an app that gives up what does not answer within a second."""
    one = World(with_options(proxy.url, patience=PATIENCE))
    async with one.app:
        yield one


async def struck(proxy: Proxy) -> None:
    await asyncio.to_thread(proxy.wait_for, lambda: proxy.strikes)


@pytest.mark.parametrize("where", [Where.REQUEST_HELD, Where.ANSWER_HELD])
async def test_what_is_never_answered_is_given_up_and_found_out_by_other_means(
    proxy: Proxy, world: World, where: Where
) -> None:
    scheduled = await world.orders.schedule("one", "x")
    await world.until_begun("one first")
    proxy.strike(Fault(where, BATCH))
    world.gate.set()
    await struck(proxy)
    assert await scheduled.completion() == DONE
    assert world.begun == ONCE_EACH
    assert world.told("replica.fenced") == []
    assert proxy.cancels == 0


async def test_a_network_that_is_silent_for_a_while(proxy: Proxy, world: World) -> None:
    scheduled = await world.orders.schedule("one", "x")
    await world.until_begun("one first")
    proxy.silence()
    world.gate.set()
    await world.until_told("store.unavailable", 3)
    proxy.end_silence()
    assert await scheduled.completion() == DONE
    assert world.begun == ONCE_EACH
    assert proxy.cancels == 0


async def test_a_server_that_is_not_there_for_a_while(proxy: Proxy, world: World) -> None:
    scheduled = await world.orders.schedule("one", "x")
    await world.until_begun("one first")
    proxy.refuse()
    proxy.cut()
    world.gate.set()
    await world.until_told("store.unavailable", 3)
    proxy.accept()
    assert await scheduled.completion() == DONE
    assert world.begun == ONCE_EACH


async def test_a_slow_network_takes_nobody_for_dead(proxy: Proxy) -> None:
    proxy.delay = 0.02
    url = with_options(proxy.url, patience=20)
    lease = timedelta(seconds=5)
    async with AsyncExitStack() as apps:
        worlds = [World(url, lease=lease) for _ in range(2)]
        for one in worlds:
            await apps.enter_async_context(one.app)
            one.gate.set()
        ids = [str(number) for number in range(10)]
        ended = [(await worlds[0].orders.schedule(id, id)).completion() for id in ids]
        assert await asyncio.gather(*ended) == [DONE] * len(ids)
        assert [one.told("replica.reaped") for one in worlds] == [[], []]
        begun = worlds[0].begun + worlds[1].begun
        assert set(begun.values()) == {1}


async def test_a_caller_that_is_cancelled_while_its_write_is_on_its_way_harms_nothing(
    proxy: Proxy, world: World
) -> None:
    proxy.strike(Fault(Where.ANSWER_HELD, BATCH))
    starting = asyncio.create_task(world.orders.schedule("one", "x"))
    await struck(proxy)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    proxy.release()
    world.gate.set()
    assert await (await world.orders.schedule("one", "x")).completion() == DONE
    assert world.begun == ONCE_EACH
    assert proxy.cancels == 0
    assert world.told("store.unavailable") == []


async def test_an_app_stops_while_the_network_is_silent(proxy: Proxy) -> None:
    world = World(with_options(proxy.url, patience=PATIENCE))
    await world.app.start()
    await world.orders.schedule("one", "x")
    await world.until_begun("one first")
    proxy.silence()
    world.gate.set()
    await asyncio.wait_for(world.app.stop(timedelta(seconds=1)), 30)
    assert proxy.cancels == 0


async def test_locks_of_others_are_waited_for(
    proxy: Proxy, world: World, postgresql: Database
) -> None:
    scheduled = await world.orders.schedule("one", "x")
    await world.until_begun("one first")
    other = await asyncpg.connect(postgresql.url)
    holding = other.transaction()
    await holding.start()
    await other.execute("SELECT * FROM unbroken_flows FOR UPDATE")
    world.gate.set()
    before = proxy.requests
    await asyncio.to_thread(proxy.wait_for, lambda: proxy.requests > before)
    await holding.rollback()
    await other.close()
    assert await scheduled.completion() == DONE
    assert world.begun == ONCE_EACH


async def test_a_process_that_is_frozen_within_a_transaction_does_not_keep_what_it_locked(
    proxy: Proxy, postgresql_url: str
) -> None:
    """Its connection stays open and its locks stay with it: the server ends its transaction."""
    lease = timedelta(seconds=2)
    frozen = World(with_options(proxy.url, patience=300), lease=lease)
    other = World(with_options(postgresql_url, patience=300), lease=lease)
    client = World(postgresql_url, execute=False)
    frozen.gate.set()
    other.gate.set()
    async with client.app, frozen.app:
        proxy.strike(Fault(Where.REQUEST_HELD, "COMMIT of", also=BATCH))
        scheduled = await client.guarded.schedule("one", "x")
        await struck(proxy)
        proxy.silence()
        async with other.app:
            assert await scheduled.completion() == "guarded!"
            assert await (await client.guarded.schedule("two", "x")).completion() == "guarded!"
        proxy.end_silence()
        proxy.release()
        await frozen.until_told("replica.registered", 2)
    assert other.begun == {"one guarded": 1, "two guarded": 1}
    assert frozen.begun == {}


async def test_a_server_without_room_is_waited_for(newest_server: OwnServer) -> None:
    newest_server.run("CREATE ROLE keeper LOGIN")
    newest_server.run("GRANT CREATE ON SCHEMA public TO keeper")
    world = World(newest_server.url.replace("postgres@", "keeper@"))
    async with world.app:
        newest_server.run("ALTER ROLE keeper CONNECTION LIMIT 0")
        for pid in newest_server.backends("unbroken%"):
            newest_server.run("SELECT pg_terminate_backend(%s)", (pid,))
        scheduling = asyncio.create_task(world.orders.schedule("one", "x"))
        await world.until_told("store.unavailable", 3)
        assert any("53300" in text for text in world.told("store.unavailable"))
        newest_server.run("ALTER ROLE keeper CONNECTION LIMIT -1")
        world.gate.set()
        assert await (await scheduling).completion() == DONE
    assert world.begun == ONCE_EACH
