"""What asyncio users do by habit: tasks, groups, threads; it works or it is named."""

import asyncio
import gc
from datetime import timedelta

import pytest

from tests.flows.apps import (
    AT_ONCE,
    Apps,
    Gate,
    events_of,
    loose,
    names_of,
    row,
    stored_effects,
    until,
)
from unbroken import Unbroken, capture, effect, flow, gather, message, sleep
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def give(n: int) -> int:
    return n


async def test_a_task_of_a_capture_is_fine_because_its_key_is_taken_at_the_call(
    apps: Apps, clock: VirtualClock
) -> None:
    ran: list[int] = []

    def note(n: int) -> int:
        ran.append(n)
        return n

    @flow
    async def tasks() -> list[int]:
        started = [asyncio.create_task(capture(note, n)) for n in (1, 2, 3)]
        results = [await task for task in reversed(started)]
        await sleep(HOUR)
        return results

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(tasks)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == [3, 2, 1]
        assert stored_effects(app, "a").keys() == {"note", "note#2", "note#3", "sleep"}
    assert sorted(ran) == [1, 2, 3]


async def test_asyncio_gather_of_captures_is_fine(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def gathering() -> tuple[int, int]:
        one, two = await asyncio.gather(capture(give, 1), capture(give, 2))
        await sleep(HOUR)
        return one, two

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(gathering)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == (1, 2)


async def test_a_task_group_of_captures_is_fine(apps: Apps) -> None:
    @flow
    async def grouping() -> int:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(capture(give, n)) for n in (1, 2)]
        return sum(task.result() for task in tasks)

    app = apps()
    flows = app.register(grouping)
    async with app:
        assert await flows.run("a") == 3


async def test_named_captures_are_fine_in_any_task(apps: Apps, clock: VirtualClock) -> None:
    async def agent(name: str) -> str:
        first = await capture(f"{name} thinks", lambda: name)
        return first + await capture(f"{name} acts", lambda: "!")

    @flow
    async def agents() -> list[str]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(agent(name)) for name in "ab"]
        await sleep(HOUR)
        return [task.result() for task in tasks]

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(agents)
    async with app:
        await flows.schedule("x")
        await clock.advance(HOUR)
        assert await flows.completion("x") == ["a!", "b!"]


async def test_a_signal_that_leaves_a_task_group_in_a_group_suspends_the_flow(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def grouping() -> str:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(message(str))
        return waiting.result()

    app = apps(suspend_after=SECOND)
    flows = app.register(grouping)
    async with app:
        scheduled = await flows.schedule("a")
        await until(lambda: _waits(app))
        await flows.send_message("a", "hello")
        assert await scheduled.completion() == "hello"


def _waits(app: Unbroken) -> bool:
    return any(one._waits for one in loose(app)._engine.executor.residents.values())


async def test_a_stop_takes_a_flow_down_that_waits_in_a_task_group(shared: Apps) -> None:
    @flow
    async def grouping() -> str:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(message(str))
        return waiting.result()

    app = shared()
    flows = app.register(grouping)
    await app.start()
    await flows.schedule("a")
    await until(lambda: _waits(app))
    await app.stop(AT_ONCE)
    app = shared()
    flows = app.register(grouping)
    async with app:
        await flows.send_message("a", "hello")
        assert await flows.completion("a") == "hello"


async def test_siblings_that_run_on_after_the_seal_write_nothing(shared: Apps) -> None:
    gate, ran = Gate(), []

    async def stubborn() -> None:
        try:
            await gate.pass_through()
        except asyncio.CancelledError:
            ran.append("cancelled")
        try:
            await capture("late", lambda: ran.append("written"))
        except BaseException as error:
            ran.append(type(error).__name__)
            raise

    @flow
    async def running() -> None:
        await asyncio.gather(stubborn(), message(str))

    app = shared()
    flows = app.register(running)
    await app.start()
    await flows.schedule("a")
    await gate.reached()
    await app.stop(AT_ONCE)
    gate.open()
    for _ in range(20):
        await asyncio.sleep(0)
    assert "written" not in ran
    client = shared(execute=False)
    client.register(running)
    async with client:
        assert stored_effects(client, "a") == {}


async def test_tasks_left_running_at_the_end_are_cancelled_and_named(apps: Apps) -> None:
    said: list[str] = []

    async def background() -> None:
        try:
            await capture("never ends", asyncio.Event().wait)
        except asyncio.CancelledError:
            said.append("cancelled")
            raise

    tasks: list[asyncio.Task[None]] = []

    @flow
    async def leaving() -> str:
        tasks.append(asyncio.create_task(background(), name="my background task"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "done"

    app = apps()
    told = events_of(app)
    flows = app.register(leaving)
    async with app:
        assert await flows.run("a") == "done"
        assert said == ["cancelled"]
        assert tasks[0].done()
        assert stored_effects(app, "a") == {}
    (event,) = [event for event in told if event.name == "flow.tasks_left"]
    assert "my background task" in event.text


async def test_a_plain_function_runs_in_a_thread_and_an_async_one_on_the_loop(
    apps: Apps,
) -> None:
    import threading

    here = threading.get_ident()

    def blocking() -> bool:
        return threading.get_ident() == here

    async def quick() -> bool:
        return threading.get_ident() == here

    @flow
    async def asking() -> list[bool]:
        return [
            await capture(blocking),
            await capture(quick),
            await capture("inline", effect(blocking, thread=False)),
        ]

    app = apps()
    flows = app.register(asking)
    async with app:
        assert await flows.run("a") == [False, True, True]


async def test_a_gather_of_ours_takes_coroutines_of_any_kind(apps: Apps) -> None:
    async def branch(n: int) -> int:
        return await capture(give, n) + await capture(give, n)

    @flow
    async def gathering() -> tuple[object, ...]:
        return await gather(branch(1), capture(give, 2), gather(branch(3), branch(4)))

    app = apps()
    flows = app.register(gathering)
    async with app:
        assert await flows.run("a") == (2, 2, (6, 8))


async def test_an_empty_gather_is_an_empty_tuple(apps: Apps) -> None:
    @flow
    async def gathering() -> tuple[object, ...]:
        return await gather()

    app = apps()
    flows = app.register(gathering)
    async with app:
        assert await flows.run("a") == ()


async def test_two_waits_in_one_gather_leave_memory_and_come_back(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def waiting() -> tuple[str, tuple[int, None]]:
        return await gather(message(str), gather(message(int), sleep(HOUR)))

    app = apps(suspend_after=AT_ONCE)
    told = events_of(app)
    flows = app.register(waiting)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.settle()
        assert (await row(app, "waiting", "a")).owner is None
        await flows.send_message("a", 7)
        await clock.settle()
        assert (await row(app, "waiting", "a")).owner is None
        await flows.send_message("a", "text")
        await clock.advance(HOUR)
        assert await scheduled.completion() == ("text", (7, None))
    assert "flow.ignored" not in names_of(told)


async def test_tasks_are_cancelled_when_their_flow_leaves_memory(
    apps: Apps, clock: VirtualClock
) -> None:
    said: list[str] = []

    begun = asyncio.Event()

    async def background() -> None:
        await capture("background", said.append, "begun")
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            said.append("ended")

    @flow
    async def leaving() -> str:
        task = asyncio.create_task(background())
        await begun.wait()
        text = await message(str)
        task.cancel()
        return text

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(leaving)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.settle()
        assert said == ["begun", "ended"]
        assert (await row(app, "leaving", "a")).owner is None
        await flows.send_message("a", "go")
        assert await scheduled.completion() == "go"


async def test_a_task_that_begins_after_its_flow_left_memory_is_silently_over(
    apps: Apps, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []
    gc.collect()  # what other tests left behind complains now
    caplog.clear()

    @flow
    async def leaving() -> str:
        task = asyncio.create_task(capture("late", lambda: ran.append("late")))
        text = await message(str)
        await task
        return text

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(leaving)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.settle()
        assert ran == []
        await flows.send_message("a", "go")
        assert await scheduled.completion() == "go"
    gc.collect()
    assert "never retrieved" not in caplog.text
