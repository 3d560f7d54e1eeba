"""Children over crashes: their start and their end are part of a write, never lost or doubled."""

from datetime import timedelta

from tests.flows.apps import AT_ONCE, LEASE, Apps, Gate, count_rows, stored_messages
from unbroken import flow, message, sleep
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@flow
async def slow_double(n: int) -> int:
    await sleep(HOUR)
    return n * 2


async def test_a_child_is_started_once_over_all_incarnations(
    apps: Apps, clock: VirtualClock
) -> None:
    starts: list[int] = []

    @flow
    async def child() -> str:
        starts.append(1)
        return await message(str)

    @flow
    async def parent() -> str:
        running = await child.schedule("child")
        for _ in range(3):
            await sleep(HOUR)
        return await running.completion()

    app = apps(suspend_after=HOUR)
    children, parents = app.register(child), app.register(parent)
    async with app:
        scheduled = await parents.schedule("p")
        await clock.advance(4 * HOUR)
        await children.send_message("child", "go")
        assert await scheduled.completion() == "go"
        assert count_rows(app, "flows") == 2


async def test_a_childs_end_is_told_in_the_childs_own_last_write(shared: Apps) -> None:
    """The parent's process hangs; the child's end is in its inbox for whoever takes over."""

    @flow
    async def parent() -> int:
        return await slow_double.run("child", 4)

    first = shared(suspend_after=AT_ONCE)
    first.register(slow_double)
    parents = first.register(parent)
    async with first:
        await parents.schedule("p")
        await shared.clock.settle()

    only_child = shared()
    doubles = only_child.register(slow_double)
    async with only_child:
        await shared.clock.advance(HOUR)
        assert await doubles.completion("child") == 8
        assert len(stored_messages(only_child, "p")) == 1

    second = shared()
    second.register(slow_double)
    parents = second.register(parent)
    async with second:
        assert await parents.completion("p") == 8


async def test_the_start_of_a_child_and_the_parents_record_of_it_survive_a_crash(
    shared: Apps,
) -> None:
    gate, runs = Gate(), []

    @flow
    async def parent() -> int:
        runs.append(1)
        running = await slow_double.schedule("child", 4)
        if len(runs) == 1:
            await gate.pass_through()
        return await running.completion()

    hung = shared(clock=VirtualClock())
    hung.register(slow_double)
    hung_parents = hung.register(parent)
    await hung.start()
    await hung_parents.schedule("p")
    await gate.reached()
    app = shared()
    app.register(slow_double)
    parents = app.register(parent)
    async with app:
        await shared.clock.advance(LEASE + SECOND)
        await shared.clock.advance(HOUR)
        assert await parents.completion("p") == 8
        assert count_rows(app, "flows") == 2
