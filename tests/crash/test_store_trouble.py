"""A full disk, a broken one, a read-only file: the app waits, says so, and goes on."""

from __future__ import annotations

import asyncio
import resource
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from unbroken import Unbroken, capture, effect, flow, message, sleep
from unbroken.engine.events import Event
from unbroken.stores.sqlite.store import SqliteStore

pytestmark = pytest.mark.crash

LARGE = 300_000
PADDING = "p" * LARGE
SHORT = timedelta(milliseconds=20)


class Trouble:
    """Makes the store of an app fail, and work again."""

    def __init__(self, app: Unbroken, database: Path) -> None:
        assert isinstance(app._store, SqliteStore)
        self.store = app._store
        self.database = database

    async def pragma(self, text: str) -> None:
        """Say something to the connection that writes, in its thread."""
        session = self.store._writer
        await self.store._writes.run(lambda: session.open().execute(f"PRAGMA {text}").fetchall())

    async def begin(self) -> None:
        raise NotImplementedError

    async def end(self) -> None:
        raise NotImplementedError


class NoMorePages(Trouble):
    """The database may not grow: SQLITE_FULL, raised by a statement."""

    async def begin(self) -> None:
        await self.pragma("max_page_count = 1")

    async def end(self) -> None:
        await self.pragma("max_page_count = 1000000")


class ReadOnly(Trouble):
    """The database may not be written: SQLITE_READONLY."""

    async def begin(self) -> None:
        await self.pragma("query_only = ON")

    async def end(self) -> None:
        await self.pragma("query_only = OFF")


class BrokenDisk(Trouble):
    """The WAL may not grow: an I/O error, raised by COMMIT, whose outcome is unknown then."""

    async def begin(self) -> None:
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = Path(f"{self.database}-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, self._limits[1]))

    async def end(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)


class FullDisk(Trouble):
    """The disk is full: no write that needs a new block is possible."""

    async def begin(self) -> None:
        self._filler = self.database.with_name("filler")
        with self._filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"\0" * 4096)

    async def end(self) -> None:
        self._filler.unlink()


class World:
    """A running app, its events, and what its bodies did outside."""

    def __init__(self, app: Unbroken, trouble: Trouble) -> None:
        self.app = app
        self.trouble = trouble
        self.begun: list[str] = []
        self._heard: list[Event] = []
        self._waiters: list[tuple[int, asyncio.Event]] = []
        app.subscribe(self._hear)

        @effect(at_most_once=True)
        async def once() -> str:
            self.begun.append("once")
            return "x" * LARGE

        @flow
        async def order(padding: str) -> list[int]:
            first = await capture("first", self._body, "first")
            second = await capture("second", self._body, "second")
            await sleep(SHORT, suspend_after=timedelta(0))
            paid = await message(str)
            third = await once()
            return [len(one) for one in (first, second, paid, third)]

        self.orders = app.register(order)
        self.before_second = asyncio.Event()

    async def _body(self, name: str) -> str:
        self.begun.append(name)
        if name == "second":
            await self.before_second.wait()
        return "x" * LARGE

    def _hear(self, event: Event) -> None:
        if event.name == "store.unavailable":
            self._heard.append(event)
            for count, waiter in self._waiters:
                if len(self._heard) >= count:
                    waiter.set()

    @property
    def complaints(self) -> int:
        """Count how often the app said that its store does not answer."""
        return len(self._heard)

    async def complained(self, times: int) -> None:
        """Wait until it has said so so many times more."""
        waiter = asyncio.Event()
        self._waiters.append((self.complaints + times, waiter))
        await waiter.wait()

    async def until(self, has_happened: Callable[[], bool]) -> None:
        """Wait for something that a body does."""
        while not has_happened():  # noqa: ASYNC110 - bodies set no events
            await asyncio.sleep(0.001)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 16 MB in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "unbroken", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small disk; NoMorePages stands for a full one")
    yield place
    subprocess.run(["umount", str(place)], check=True)


TROUBLES: list[Any] = [NoMorePages, ReadOnly, BrokenDisk, FullDisk]


@pytest.fixture(params=TROUBLES, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[Trouble]:
    return request.param


@pytest.fixture
def database(kind: type[Trouble], tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    folder = request.getfixturevalue("small_disk") if kind is FullDisk else tmp_path
    return folder / "flows.db"


@pytest.fixture
async def world(kind: type[Trouble], database: Path) -> AsyncIterator[World]:
    app = Unbroken(f"sqlite:///{database}", lease=timedelta(seconds=1))
    async with running(World(app, kind(app, database))) as one:
        yield one


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    await world.app.start()
    try:
        yield world
    finally:
        await world.app.stop(timedelta(0))


async def test_a_running_flow_waits_and_goes_on_and_no_body_runs_twice(world: World) -> None:
    order = await world.orders.schedule("one", PADDING)
    await world.until(lambda: "second" in world.begun)
    await world.trouble.begin()
    world.before_second.set()
    await world.complained(3)
    assert world.begun == ["first", "second"]
    await world.trouble.end()
    await world.orders.send_message("one", "paid")
    assert await order.completion() == [LARGE, LARGE, 4, LARGE]
    assert world.begun == ["first", "second", "once"]


async def test_starts_and_messages_wait_and_are_accepted_once(world: World) -> None:
    world.before_second.set()
    await world.orders.schedule("one", PADDING)
    await world.until(lambda: "second" in world.begun)
    await world.trouble.begin()
    starting = asyncio.create_task(world.orders.schedule("two", PADDING))
    sending = [
        asyncio.create_task(world.orders.send_message("one", "paid", key="k")) for _ in range(2)
    ]
    await world.complained(3)
    assert not starting.done()
    await world.trouble.end()
    two = await starting
    assert sorted([await one for one in sending]) == ["accepted", "duplicate"]
    await world.orders.send_message("two", "paid")
    assert await two.completion() == [LARGE, LARGE, 4, LARGE]
    assert await world.orders.completion("one") == [LARGE, LARGE, 4, LARGE]
    assert sorted(world.begun) == ["first", "first", "once", "once", "second", "second"]


async def test_a_store_that_fails_is_not_asked_again_and_again(world: World) -> None:
    order = await world.orders.schedule("one", PADDING)
    await world.until(lambda: "second" in world.begun)
    await world.trouble.begin()
    world.before_second.set()
    begin = asyncio.get_running_loop().time()
    await world.complained(10)
    passed = asyncio.get_running_loop().time() - begin
    # Committer, poller and reaper may complain by turns, each after pauses of 10, 20, 40, … ms, of
    # which chance takes up to a half; one that did not pause would be done in a moment.
    assert passed > 0.03
    await world.trouble.end()
    await world.orders.send_message("one", "paid")
    await order.completion()


async def test_an_app_stops_although_its_store_fails_and_another_one_goes_on(
    kind: type[Trouble], database: Path
) -> None:
    app = Unbroken(f"sqlite:///{database}", lease=timedelta(seconds=1))
    world = World(app, kind(app, database))
    await app.start()
    await world.orders.schedule("one", PADDING)
    await world.until(lambda: "second" in world.begun)
    await world.trouble.begin()
    world.before_second.set()
    await world.complained(2)
    await app.stop(timedelta(0))
    if isinstance(world.trouble, (BrokenDisk, FullDisk)):
        await world.trouble.end()  # the others ended with the connection
    successor = Unbroken(f"sqlite:///{database}", lease=timedelta(seconds=1))
    async with running(World(successor, kind(successor, database))) as other:
        other.before_second.set()
        await other.orders.send_message("one", "paid")
        assert await other.orders.completion("one") == [LARGE, LARGE, 4, LARGE]
        assert other.begun == ["second", "once"]
