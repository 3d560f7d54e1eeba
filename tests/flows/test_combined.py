"""Parts of the language that meet: a cancel in an undo, a cancel that is cut, a loop in a race."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from tests.flows.apps import AT_ONCE, Apps, stored_effects, until
from unbroken import (
    FlowCancelled,
    FlowFailed,
    FlowParked,
    FlowTimedOut,
    Retry,
    capture,
    effect,
    flow,
    for_each,
    gather,
    message,
    race,
    saga,
)
from unbroken.engine.scope import SCOPE
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
NEVER = timedelta(days=10_000)
PATIENT = Retry(3, initial_delay=MINUTE)

ran: list[str] = []
dying: set[int] = set()


class Paid(msgspec.Struct):
    text: str


class Stop(msgspec.Struct):
    pass


class Ask(msgspec.Struct):
    text: str


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()
    dying.clear()


async def note(what: str) -> str:
    ran.append(what)
    return what


# a cancel while a saga undoes


async def test_a_cancel_waits_until_a_failed_block_is_undone(
    apps: Apps, clock: VirtualClock
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def fail() -> None:
        begun.set()
        await go_on.wait()
        raise ValueError("no seat")

    @flow
    async def trip() -> None:
        async with saga() as way_back:
            for stop in ("hotel", "flight"):
                way_back.undo(f"release {stop}", note, f"release {stop}")
            await capture(fail)

    app = apps()
    flows = app.register(trip)
    async with app:
        waiting = asyncio.create_task(flows.run("a"))
        await begun.wait()
        await flows.cancel("a")
        go_on.set()
        with pytest.raises(FlowFailed) as caught:
            await waiting
        assert caught.value.error.message == "no seat"
        assert ran == ["release flight", "release hotel"]


async def test_a_cancel_does_not_end_the_pause_of_an_undo_that_is_tried_again(
    apps: Apps, clock: VirtualClock
) -> None:
    @effect(retry=PATIENT)
    async def release() -> None:
        ran.append("release")
        if len(ran) == 1:
            raise ConnectionError

    @flow
    async def trip() -> None:
        async with saga() as way_back:
            way_back.undo(release)
            raise ValueError("no seat")

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(trip)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.cancel("a")
        await clock.advance(HOUR)
        with pytest.raises(FlowFailed) as caught:
            await flows.completion("a")
        assert caught.value.error.type == "ValueError"
        assert ran == ["release", "release"]


async def test_a_sibling_that_fails_does_not_cut_what_is_being_undone(
    apps: Apps,
) -> None:
    undoing, failed, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def release(stop: str) -> None:
        undoing.set()
        await go_on.wait()
        await note(f"release {stop}")

    async def trip() -> None:
        async with saga() as way_back:
            for stop in ("hotel", "flight"):
                way_back.undo(release, stop)
            raise ValueError("no seat")

    async def fail() -> None:
        await undoing.wait()
        failed.set()
        raise KeyError("sibling")

    @flow
    async def both() -> None:
        try:
            await gather(trip(), fail())
        finally:
            ran.append("left")

    app = apps()
    flows = app.register(both)
    async with app:
        ended = asyncio.create_task(flows.run("a"))
        await undoing.wait()
        await failed.wait()
        go_on.set()
        with pytest.raises(FlowFailed):
            await ended
        assert ran == ["release flight", "release hotel", "left"]


async def test_an_undo_that_hangs_does_not_keep_the_app_from_stopping(
    apps: Apps, clock: VirtualClock
) -> None:
    undoing = asyncio.Event()

    async def release() -> None:
        undoing.set()
        await asyncio.Event().wait()

    @flow
    async def trip() -> None:
        async with saga() as way_back:
            way_back.undo(release)
            raise ValueError("no seat")

    app = apps()
    flows = app.register(trip)
    await app.start()
    await flows.schedule("a")
    await undoing.wait()
    await app.stop(AT_ONCE)
    assert not any(task.get_name() == "a" for task in asyncio.all_tasks())


async def test_a_block_that_was_undone_does_not_count_as_done_after_a_restart(apps: Apps) -> None:
    ship = effect(note, at_most_once=True, name="ship")

    @flow
    async def order(is_good: bool) -> str:
        async with saga() as way_back:
            await ship("ship")
            way_back.undo("take back", note, "take back")
            if not is_good:
                raise ValueError("not good")
        return "shipped"

    app = apps()
    flows = app.register(order)
    async with app:
        with pytest.raises(FlowFailed):
            await flows.run("a", is_good=False)
        panel = await flows.control_panel("a")
        assert panel is not None
        panel.set_param(is_good=True)
        scheduled = await panel.restart()
        with pytest.raises(FlowParked, match=r"effects\.remove\('saga'\)"):
            await scheduled.completion()
        assert ran == ["ship", "take back"]
        await panel.refresh()
        await panel.effects.remove("saga")
        assert await (await panel.restart()).completion() == "shipped"
        assert ran == ["ship", "take back", "ship"]


async def test_a_block_of_another_flow_is_not_undone_with_the_one_that_started_it(
    apps: Apps,
) -> None:
    @flow
    async def inner() -> str:
        async with saga() as way_back:
            way_back.undo("inner", note, "inner")
        return "done"

    async def start() -> str:
        return await inner_flows.options(detached=True).run("inner")

    @flow
    async def outer() -> None:
        async with saga() as way_back:
            way_back.undo("outer", note, "outer")
            await capture(start)
            raise ValueError("no seat")

    app = apps()
    inner_flows, outer_flows = app.register(inner), app.register(outer)
    async with app:
        with pytest.raises(FlowFailed):
            await outer_flows.run("a")
        assert ran == ["outer"]


# a cancel that is swallowed, or that nobody heard


@flow
async def living_on(run: int) -> None:
    try:
        await message(Paid)
    except FlowCancelled:
        await capture(note, f"cancelled in {run}")
    await living_on.continue_as_new(run + 1)


@flow(timeout=MINUTE)
async def living_on_in_time(run: int) -> None:
    try:
        await message(Paid)
    except FlowTimedOut:
        await capture(note, f"cancelled in {run}")
    await living_on_in_time.continue_as_new(run + 1)


async def test_a_flow_that_swallows_its_cancel_cannot_continue_as_new(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    flows, in_time = app.register(living_on), app.register(living_on_in_time)
    async with app:
        await flows.schedule("a", 0)
        await in_time.schedule("a", 0)
        await clock.settle()
        await flows.cancel("a")
        await clock.advance(MINUTE)
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        with pytest.raises(FlowTimedOut):
            await in_time.completion("a")
        assert ran == ["cancelled in 0", "cancelled in 0"]


@flow
async def cut_at_its_cancel() -> None:
    incarnation, own = SCOPE.get().incarnation, asyncio.current_task()
    assert own is not None

    async def cut() -> None:
        # The first time, while the transaction of the flow's cancel is in flight.
        await until_in_turns(
            lambda: (
                "message:Paid.cancel" in incarnation.effects and bool(incarnation._waits)
                if incarnation.number > 1
                else "message:Paid.cancel" in incarnation.effects
            )
        )
        own.cancel()

    ran.append(f"run {incarnation.number}")
    cutting = asyncio.create_task(cut())
    try:
        await message(Paid)
    except asyncio.CancelledError:
        own.uncancel()
    await cutting
    ran.append("cut")
    if incarnation.number in dying:
        await asyncio.Event().wait()
    try:
        await message(Stop)
    except FlowCancelled:
        await capture(note, "compensate")
        raise


async def until_in_turns(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_a_cancel_that_was_cut_while_it_was_recorded_is_raised_elsewhere(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps(suspend_after=HOUR)
    flows = app.register(cut_at_its_cancel)
    async with app:
        ended = asyncio.create_task(flows.run("a"))
        await until(lambda: ran == ["run 1"])
        await flows.cancel("a")
        with pytest.raises(FlowCancelled):
            await ended
        assert ran == ["run 1", "cut", "compensate"]
        assert {"message:Paid.cut", "message:Stop.cancel"} <= set(stored_effects(app, "a"))


async def test_a_cancel_that_was_cut_outlives_the_process(shared: Apps) -> None:
    dying.add(1)
    _, flows = await shared.hang(cut_at_its_cancel)
    await flows.schedule("a")
    await until(lambda: ran == ["run 1"])
    await flows.cancel("a")
    await until(lambda: ran == ["run 1", "cut"])
    app = shared(suspend_after=HOUR)
    flows = app.register(cut_at_its_cancel)
    async with app:
        await shared.clock.advance(HOUR)
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        assert ran == ["run 1", "cut", "run 2", "cut", "compensate"]


# what a race gives back


@pytest.mark.parametrize("stay", [AT_ONCE, HOUR], ids=["suspended", "warm"])
async def test_a_loop_that_loses_gives_back_nothing_of_the_items_that_are_done(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    @flow
    async def racing() -> list[str]:
        async def item(_: int) -> None:
            ran.append((await message(Paid)).text)

        async def loop() -> None:
            await for_each(range(10), item)

        await race(loop(), message(Stop))
        left: list[str] = []
        while (paid := await message(Paid, timeout=MINUTE)) is not None:
            left.append(paid.text)
        return left

    app = apps(suspend_after=stay)
    flows = app.register(racing)
    async with app:
        ended = asyncio.create_task(flows.run("a"))
        await clock.settle()
        for text in "abc":
            await flows.send_message("a", Paid(text))
            await clock.settle()
        await flows.send_message("a", Stop())
        await clock.settle()
        await flows.send_message("a", Paid("d"))
        await clock.advance(HOUR)
        assert await ended == ["d"]
        assert ran == ["a", "b", "c"]
