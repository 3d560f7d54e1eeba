"""Threads: beats while the loop is blocked, transactions that outlive their waiters, clean ends."""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.stores.clock import SECOND, FakeClock
from tests.stores.driver import Driver
from tests.stores.sqlite.conftest import Opening
from tests.stores.sqlite.door import SqliteDoor
from unbroken.model.clock import SystemClock
from unbroken.model.errors import StoreUnavailable
from unbroken.stores.batch import Start
from unbroken.stores.pulse import Pulse
from unbroken.stores.sqlite.lanes import ThreadLane
from unbroken.stores.sqlite.store import SqliteStore

LEASE = 20 * SECOND


def never() -> None:
    raise AssertionError("nothing was lost")


async def beat_of(store: SqliteStore, replica: str) -> int:
    """Give the instant of a replica's last sign of life."""
    expiry = (await store.reap("somebody else", 10**15)).next_expiry
    assert expiry is not None
    return expiry - 10**15


class Gate:
    """Keeps the writing thread busy until it is opened."""

    def __init__(self, store: SqliteStore) -> None:
        self._event = threading.Event()
        store._writes.post(self._wait)

    def _wait(self) -> None:
        self._event.wait(10)

    def open(self) -> None:
        self._event.set()


async def test_the_thread_beats_while_the_event_loop_is_blocked(open_file: Opening) -> None:
    store = await open_file(clock=SystemClock())
    first = await store.register("me")
    store.beat_every("me", 0.02, never)
    time.sleep(0.3)
    assert await beat_of(store, "me") - first > 0.2 * SECOND


async def test_the_thread_says_once_and_in_the_loop_that_the_row_is_gone(
    open_file: Opening,
) -> None:
    store = await open_file(clock=SystemClock())
    await store.register("me")
    heard: list[int] = []
    gone = asyncio.Event()

    def lost() -> None:
        heard.append(threading.get_ident())
        gone.set()

    SqliteDoor(store).delete_replica("me")
    store.beat_every("me", 0.01, lost)
    await gone.wait()
    await asyncio.sleep(0.05)
    assert heard == [threading.get_ident()]


async def test_beats_end_when_told(open_file: Opening) -> None:
    store = await open_file(clock=SystemClock())
    await store.register("me")
    store.beat_every("me", 0.01, never)
    await asyncio.sleep(0.05)
    store.beat_every(None, 0, never)
    await store.settle("me", 1)  # behind what the thread was told
    last = await beat_of(store, "me")
    await asyncio.sleep(0.05)
    assert await beat_of(store, "me") == last


async def test_a_beat_that_fails_is_tried_again(
    open_file: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await open_file(clock=SystemClock())
    first = await store.register("me")
    failures: list[None] = []
    real = store._writer.write

    def write(*args: Any, **options: Any) -> object:
        if len(failures) < 2:
            failures.append(None)
            raise StoreUnavailable("not now")
        return real(*args, **options)

    monkeypatch.setattr(store._writer, "write", write)
    store.beat_every("me", 0.01, never)
    for _ in range(500):
        if await beat_of(store, "me") != first:
            break
        await asyncio.sleep(0.01)
    assert await beat_of(store, "me") > first
    assert len(failures) == 2


@pytest.fixture
async def in_memory(clock: FakeClock) -> SqliteStore:
    store = SqliteStore(None, clock=clock)
    await store.open()
    return store


async def test_in_memory_the_clock_beats(in_memory: SqliteStore, clock: FakeClock) -> None:
    await in_memory.register("me")
    in_memory.beat_every("me", 5, never)
    await clock.settle()
    for _ in range(3):
        await clock.advance(5)
        assert await beat_of(in_memory, "me") == clock.now()
    await in_memory.close()


async def test_in_memory_a_batch_puts_the_beat_off(
    in_memory: SqliteStore, clock: FakeClock
) -> None:
    await in_memory.register("me")
    in_memory.beat_every("me", 5, never)
    await clock.settle()
    await clock.advance(4)
    await Driver(in_memory, "me").commit()
    batch_at = clock.now()
    await clock.advance(1)
    assert await beat_of(in_memory, "me") == batch_at
    await clock.advance(4)
    assert await beat_of(in_memory, "me") == clock.now()
    await in_memory.close()


async def test_in_memory_the_lost_row_is_told_once(
    in_memory: SqliteStore, clock: FakeClock
) -> None:
    heard: list[None] = []
    await in_memory.register("me")
    in_memory.beat_every("me", 5, lambda: heard.append(None))
    await clock.settle()
    SqliteDoor(in_memory).delete_replica("me")
    for _ in range(3):
        await clock.advance(5)
    assert heard == [None]
    await in_memory.close()


async def test_in_memory_there_is_no_thread_and_no_pause(clock: FakeClock) -> None:
    threads = set(threading.enumerate())
    store = SqliteStore(None, clock=clock)
    call = store.open()
    with pytest.raises(StopIteration):  # it never waits for the event loop
        call.send(None)
    assert set(threading.enumerate()) == threads
    await store.close()


def test_a_pulse_counts_from_when_the_last_sign_was_sent(clock: FakeClock) -> None:
    pulse = Pulse(clock)
    assert pulse.wait() is None
    pulse.registered(clock.monotonic() - 1)
    pulse.begin("me", 5, never)
    assert pulse.wait() == 4
    pulse.succeeded("me", clock.monotonic())
    assert pulse.wait() == 5
    pulse.succeeded("me", clock.monotonic() - 3)
    assert pulse.wait() == 5, "an answer that comes late takes nothing back"
    pulse.succeeded("somebody else", clock.monotonic() + 9)
    assert pulse.wait() == 5


async def test_a_cancelled_waiter_does_not_cancel_the_transaction(open_file: Opening) -> None:
    store = await open_file()
    await store.register("me")
    me = Driver(store, "me")
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    gate = Gate(store)
    waiter = asyncio.create_task(store.commit(me.batch(starts=(Start("t", "f", "{}"),))))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    gate.open()
    assert await store.settle("me", 1) == 1, "the batch landed"
    assert await store.find("t", "f") is not None
    assert complaints == [], "nobody misses the answer"


async def test_close_lets_what_is_queued_finish(open_file: Opening) -> None:
    store = await open_file()
    await store.register("me")
    gate = Gate(store)
    me = Driver(store, "me")
    commit = asyncio.create_task(store.commit(me.batch(starts=(Start("t", "f", "{}"),))))
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    gate.open()
    await closing
    assert await commit is not None
    again = await open_file()
    assert await again.find("t", "f") is not None


async def test_close_ends_the_threads(open_file: Opening) -> None:
    before = set(threading.enumerate())
    store = await open_file()
    names = {thread.name for thread in set(threading.enumerate()) - before}
    assert names == {"unbroken-writer", "unbroken-reader"}
    await store.close()
    assert set(threading.enumerate()) == before


CALLS: list[Callable[[SqliteStore], Awaitable[object]]] = [
    lambda store: store.register("x"),
    lambda store: store.poll("x", [], []),
    lambda store: store.commit(Driver(store, "x").batch()),
]


@pytest.mark.parametrize("call", CALLS)
async def test_a_closed_store_says_so(
    call: Callable[[SqliteStore], Awaitable[object]], open_file: Opening, in_memory: SqliteStore
) -> None:
    for store in (await open_file(), in_memory):
        await store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await call(store)


@pytest.mark.parametrize("call", CALLS)
async def test_a_store_from_before_a_fork_is_refused(
    call: Callable[[SqliteStore], Awaitable[object]],
    open_file: Opening,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = await open_file()
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: -1)
        with pytest.raises(StoreUnavailable, match="fork"):
            await call(store)


async def test_a_failure_between_calls_does_not_end_the_thread() -> None:
    def between() -> float | None:
        raise OSError("unexpected")

    lane = ThreadLane("test", between)
    assert [await lane.run(lambda: 1), await lane.run(lambda: 2)] == [1, 2]
    await lane.close(lambda: None)


async def test_an_error_belongs_to_its_caller_only(open_file: Opening) -> None:
    store = await open_file()

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await store._writes.run(fail)
    assert await store.register("me")
