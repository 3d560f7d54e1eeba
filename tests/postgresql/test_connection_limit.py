"""A server with few connections, all of them taken: it is said at the start, and waited for later.

An app takes six at most: one for batches, three for reads, one to listen and one to beat.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack

import psycopg
import pytest

from tests.postgresql.server import OwnServer
from tests.postgresql.test_bad_addresses import SECRET, refusal
from tests.postgresql.test_networks_that_fail import DONE, World
from unbroken.model.errors import StoreUnavailable

# For `keeper`, who is every app here: two of them; and for who looks at the server.
ROOM, RESERVED = 12, 2
NO_ROOM = "53300"
ACTS = ("first", "second", "once")

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]


class Strangers:
    """Connections that are not ours and do nothing but take up room."""

    def __init__(self, server: OwnServer) -> None:
        self.url = server.url.replace("postgres@", f"keeper:{SECRET}@")
        self._server = server
        self._all: list[psycopg.Connection[object]] = []

    def come(self) -> int:
        """Take all the room that there is; give how many came."""
        before = len(self._all)
        try:
            while True:
                self._all.append(psycopg.connect(self.url))
        except psycopg.OperationalError:
            return len(self._all) - before

    async def take_it_all(self) -> None:
        """Take the room of the apps too: their connections are ended, and nobody gets new ones."""
        while pids := self._server.backends("unbroken%"):
            for pid in pids:
                self._server.run("SELECT pg_terminate_backend(%s)", (pid,))
            self.come()
            await asyncio.sleep(0)
        assert len(self._all) == ROOM

    def leave(self, count: int = ROOM) -> None:
        """Make room for so many."""
        leaving, self._all = self._all[:count], self._all[count:]
        for one in leaving:
            one.close()


@pytest.fixture
def strangers(newest_server: OwnServer) -> Iterator[Strangers]:
    """Give strangers on a server with little room, which asks for a password."""
    newest_server.run(f"CREATE ROLE keeper LOGIN PASSWORD '{SECRET}'")
    newest_server.run("GRANT CREATE ON SCHEMA public TO keeper")
    newest_server.let_in(
        "host all postgres 127.0.0.1/32 trust\nhost all keeper 127.0.0.1/32 scram-sha-256"
    )
    newest_server.set(
        f"max_connections = {ROOM + RESERVED}\nsuperuser_reserved_connections = {RESERVED}"
    )
    newest_server.stop()
    newest_server.start()
    one = Strangers(newest_server)
    yield one
    one.leave()


async def until_no_room(world: World) -> None:
    """Wait until an app has said a few times more that there is no room for it."""
    left = 2
    while left:
        told = len(world.told("store.unavailable"))
        await world.until_told("store.unavailable", told + 1)
        # A connection that was ended by then may be spoken of first.
        left -= int(NO_ROOM in world.told("store.unavailable")[-1])


def nothing_secret(caplog: pytest.LogCaptureFixture, *worlds: World) -> bool:
    told = [event.text for world in worlds for event in world.heard]
    return all(SECRET not in text for text in [*told, caplog.text])


async def test_an_app_that_finds_no_room_says_so_and_one_that_runs_is_not_disturbed(
    strangers: Strangers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    running, late = World(strangers.url), World(strangers.url)
    running.gate.set()
    late.gate.set()
    async with running.app:
        assert await (await running.orders.schedule("one", "x")).completion() == DONE
        # Reads side by side open whatever connections it will need.
        await asyncio.gather(*(running.orders.control_panel("one") for _ in range(6)))
        assert strangers.come() < ROOM
        text = await refusal(strangers.url, StoreUnavailable)
        assert NO_ROOM in text
        assert "max_connections" in text
        assert "127.0.0.1" in text
        with pytest.raises(StoreUnavailable, match=NO_ROOM):
            await late.app.start()
        assert await (await running.orders.schedule("two", "x")).completion() == DONE
        strangers.leave()
        async with late.app:
            assert await (await late.orders.schedule("three", "x")).completion() == DONE
    assert set((running.begun + late.begun).values()) == {1}
    assert nothing_secret(caplog, running, late)


async def test_an_app_that_finds_too_little_room_waits_for_more(
    strangers: Strangers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world = World(strangers.url)
    world.gate.set()
    strangers.come()
    strangers.leave(1)
    async with world.app:
        scheduling = asyncio.create_task(world.orders.schedule("one", "x"))
        await until_no_room(world)
        assert not scheduling.done()
        strangers.leave()
        assert await (await scheduling).completion() == DONE
    assert world.begun == {f"one {act}": 1 for act in ACTS}
    assert nothing_secret(caplog, world)


async def test_two_apps_that_lose_their_room_to_others_go_on_when_it_comes_back(
    strangers: Strangers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    worlds = [World(strangers.url) for _ in range(2)]
    begun: Counter[str] = Counter()
    async with AsyncExitStack() as apps:
        for number, world in enumerate(worlds):
            await apps.enter_async_context(world.app)
            await world.orders.schedule(f"{number}", "x")
        while len(begun) < len(worlds):  # whichever app runs them
            await asyncio.sleep(0.001)
            begun = worlds[0].begun + worlds[1].begun
        await strangers.take_it_all()
        for world in worlds:
            world.gate.set()
        more = [asyncio.create_task(one.orders.schedule("more", "x")) for one in worlds]
        await asyncio.gather(*map(until_no_room, worlds))
        assert not any(one.done() for one in more)
        strangers.leave()
        scheduled = [await one for one in more]
        assert [await one.completion() for one in scheduled] == [DONE, DONE]
        ended = [worlds[0].orders.completion(id) for id in ("0", "1", "more")]
        assert await asyncio.gather(*ended) == [DONE] * 3
        assert [world.told("replica.fenced") for world in worlds] == [[], []]
    begun = worlds[0].begun + worlds[1].begun
    assert begun == {f"{id} {act}": 1 for id in ("0", "1", "more") for act in ACTS}
    assert nothing_secret(caplog, *worlds)
