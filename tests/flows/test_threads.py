"""Plain functions run in threads: as many as allowed, none after its lease, none for ever."""

import asyncio
import threading
from datetime import timedelta

import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps
from tests.flows.database import forget_replicas
from unbroken import FlowFailed, capture, current_flow, flow
from unbroken.testing import VirtualClock
from unbroken.threads import EffectThreads


class Door:
    """A place where a thread stands until the test lets it pass."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def pass_through(self) -> None:
        self.reached.set()
        assert self.open.wait(30)


def freeze(clock: VirtualClock) -> None:
    """Let more than a lease pass without anything having run meanwhile."""
    clock._elapsed += 2 * LEASE.total_seconds()


async def reached(door: Door) -> None:
    while not door.reached.is_set():  # noqa: ASYNC110 - a thread sets it
        await asyncio.sleep(0.001)


async def test_a_body_that_waited_for_a_thread_does_not_begin_after_its_process_was_declared_dead(
    shared: Apps, clock: VirtualClock
) -> None:
    door = Door()
    begun: list[int] = []

    @flow
    async def first() -> None:
        await capture("stand", door.pass_through)

    @flow
    async def second() -> None:
        await capture("note", lambda: begun.append(current_flow().incarnation))

    app = shared(threads=1)
    firsts, seconds = app.register(first), app.register(second)
    await app.start()
    await firsts.schedule("one")
    await reached(door)
    waiting = await seconds.schedule("two")
    await asyncio.sleep(0)
    freeze(clock)
    forget_replicas(app)
    door.open.set()
    await waiting.completion()
    assert begun == [2]


async def test_a_body_that_waited_for_a_thread_begins_after_the_lease_was_renewed(
    shared: Apps, clock: VirtualClock
) -> None:
    door = Door()
    begun: list[int] = []

    @flow
    async def first() -> None:
        await capture("stand", door.pass_through)

    @flow
    async def second() -> None:
        await capture("note", lambda: begun.append(current_flow().incarnation))

    app = shared(threads=1)
    firsts, seconds = app.register(first), app.register(second)
    await app.start()
    await firsts.schedule("one")
    await reached(door)
    waiting = await seconds.schedule("two")
    await asyncio.sleep(0)
    freeze(clock)
    door.open.set()
    await waiting.completion()
    assert begun == [1]


async def test_a_function_that_waits_for_a_thread_never_begins_after_the_stop(shared: Apps) -> None:
    door = Door()
    begun: list[str] = []

    @flow
    async def standing() -> None:
        await capture("stand", door.pass_through)

    @flow
    async def noting() -> None:
        await capture("note", lambda: begun.append("begun"))

    app = shared(threads=1)
    first, second = app.register(standing), app.register(noting)
    await app.start()
    await first.schedule("one")
    await reached(door)
    await second.schedule("two")
    await asyncio.sleep(0)
    await app.stop(AT_ONCE)
    door.open.set()
    assert begun == []


async def test_a_function_that_raises_stop_iteration_fails_its_flow(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def stopping() -> None:
        await capture("next", lambda: next(iter(())))

    app = apps()
    flows = app.register(stopping)
    await app.start()
    with pytest.raises(FlowFailed, match="StopIteration"):
        await flows.run("one")


async def test_no_more_threads_run_than_are_allowed_and_each_is_used_again() -> None:
    threads = EffectThreads(2)
    doors = [Door() for _ in range(3)]
    names: list[str] = []

    def pass_through(door: Door) -> None:
        names.append(threading.current_thread().name)
        door.pass_through()

    running = [asyncio.create_task(threads.run(lambda d=d: pass_through(d))) for d in doors]
    await reached(doors[0])
    await reached(doors[1])
    assert not doors[2].reached.is_set()
    for door in doors:
        door.open.set()
    await asyncio.gather(*running)
    assert len(names) == 3
    assert set(names) == {"unbroken-effect-1", "unbroken-effect-2"}
    threads.close()


async def test_threads_end_after_the_close_and_calls_in_the_queue_are_dropped() -> None:
    threads = EffectThreads(1)
    door = Door()
    running = asyncio.create_task(threads.run(door.pass_through))
    await reached(door)
    (thread,) = [t for t in threading.enumerate() if t.name == "unbroken-effect-1"]
    dropped = asyncio.create_task(threads.run(lambda: None))
    await asyncio.sleep(0)
    threads.close()
    with pytest.raises(asyncio.CancelledError):
        await dropped
    assert thread.daemon
    door.open.set()
    await running
    thread.join(timeout=10)
    assert not thread.is_alive()


async def test_the_answer_of_a_function_comes_back_to_its_caller() -> None:
    threads = EffectThreads(1)
    assert await threads.run(lambda: timedelta(days=1)) == timedelta(days=1)
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)
    threads.close()
