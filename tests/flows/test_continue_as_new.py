"""Continue as new: a flow that lives for ever keeps a bounded history."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.flows.apps import (
    AT_ONCE,
    Apps,
    count_rows,
    loose,
    row,
    stored_effects,
    stored_messages,
    until,
)
from unbroken import (
    Delivery,
    FlowCancelled,
    FlowFailed,
    NotInFlow,
    Status,
    capture,
    current_flow,
    effect,
    flow,
    gather,
    message,
    sleep,
)
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)


class Tick(msgspec.Struct):
    n: int


ran: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


async def note(what: str) -> str:
    ran.append(what)
    return what


@flow
async def counter(total: int) -> int:
    """Sum up ticks for ever; a tick of nothing ends it."""
    tick = await message(Tick)
    if not tick.n:
        return total
    await capture(note, f"tick {tick.n}")
    await counter.continue_as_new(total + tick.n)


@pytest.mark.parametrize("stay", [AT_ONCE, HOUR], ids=["suspended", "warm"])
async def test_a_flow_begins_anew_with_other_arguments_and_an_empty_journal(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    app = apps(suspend_after=stay)
    flows = app.register(counter)
    async with app:
        await flows.schedule("c", 0)
        for n in range(1, 21):
            await flows.send_message("c", Tick(n))
            await clock.settle()
            assert stored_effects(app, "c") == {}
        assert count_rows(app, "effects") == 0
        assert count_rows(app, "messages") <= 2
        await flows.send_message("c", Tick(0))
        assert await flows.completion("c") == 210
        assert ran == [f"tick {n}" for n in range(1, 21)]


async def test_messages_that_are_not_consumed_come_along_in_their_order(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    flows = app.register(counter)
    async with app:
        await flows.schedule("c", 0)
        for n in (3, 2, 1, 0):
            await flows.send_message("c", Tick(n))
        assert await flows.completion("c") == 6
        assert ran == ["tick 3", "tick 2", "tick 1"]


async def test_a_key_of_the_run_before_is_still_known(apps: Apps, clock: VirtualClock) -> None:
    app = apps()
    flows = app.register(counter)
    async with app:
        await flows.schedule("c", 0)
        assert await flows.send_message("c", Tick(1), key="one") is Delivery.ACCEPTED
        await clock.settle()
        assert await flows.send_message("c", Tick(1), key="one") is Delivery.DUPLICATE
        await clock.settle()
        assert ran == ["tick 1"]
        assert stored_messages(app, "c") == []


async def test_hundreds_of_runs_leave_nothing_behind(apps: Apps) -> None:
    """Rows stay flat, whatever the number of runs."""

    @flow
    async def spinning(left: int) -> str:
        await capture(note, "x")
        if left == 0:
            return "done"
        await spinning.continue_as_new(left - 1)

    app = apps()
    flows = app.register(spinning)
    async with app:
        assert await flows.run("s", 300) == "done"
        assert len(ran) == 301
        assert count_rows(app, "effects") == 1


async def test_a_class_flow_continues_through_its_own_handle(apps: Apps) -> None:
    @flow
    class Down:
        async def run(self, n: int) -> str:
            if n == 0:
                return "zero"
            await current_flow().flows(Down).continue_as_new(n - 1)

    app = apps()
    flows = app.register(Down)
    async with app:
        assert await flows.run("d", 3) == "zero"


async def test_who_waits_for_it_waits_for_its_real_end(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def waiting() -> int:
        return await counter.run("c", 10)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(counter)
    parents = app.register(waiting)
    async with app:
        await parents.schedule("p")
        await clock.settle()
        for n in (1, 2, 0):
            await flows.send_message("c", Tick(n))
            await clock.settle()
        assert await parents.completion("p") == 13


async def test_a_child_of_the_next_run_is_not_mistaken_for_one_of_the_last(
    apps: Apps, clock: VirtualClock
) -> None:
    """Both runs use one key for their child, and the first child ends when nobody waits for it."""

    @flow
    async def child(n: int) -> int:
        await sleep(HOUR * n)
        return n

    @flow
    async def parent(n: int) -> int:
        scheduled = await child.schedule(f"child {n}", n)
        if n == 1:
            await parent.continue_as_new(2)
        return await scheduled.completion()

    app = apps(suspend_after=AT_ONCE)
    app.register(child)
    flows = app.register(parent)
    async with app:
        await flows.schedule("p", 1)
        await clock.advance(HOUR * 2)
        assert await flows.completion("p") == 2


async def test_only_from_inside_and_only_as_oneself(apps: Apps) -> None:
    @flow
    async def other(n: int) -> None:
        await counter.continue_as_new(n)

    @flow
    async def from_a_body() -> None:
        await capture("body", counter.continue_as_new, 1)

    app = apps()
    app.register(counter)
    others = app.register(other)
    bodies = app.register(from_a_body)
    async with app:
        with pytest.raises(FlowFailed, match="its own continue_as_new"):
            await others.run("a", 1)
        with pytest.raises(FlowFailed, match="body"):
            await bodies.run("b")
        with pytest.raises(NotInFlow):
            await counter.continue_as_new(1)


async def test_arguments_that_do_not_fit_are_refused_before_anything_is_lost(apps: Apps) -> None:
    @flow
    async def strange(n: int) -> str:
        await capture(note, "kept")
        try:
            await strange.continue_as_new(*loose(["x", "y"]))
        except TypeError:
            return "goes on"
        return "?"

    app = apps()
    flows = app.register(strange)
    async with app:
        assert await flows.run("a", 1) == "goes on"
        assert stored_effects(app, "a") == {"note": "capture"}


async def test_a_cancel_that_comes_in_between_is_met_by_the_flow(
    apps: Apps, clock: VirtualClock
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        begun.set()
        await go_on.wait()

    @flow
    async def looping(n: int) -> None:
        await capture(slow)
        await looping.continue_as_new(n + 1)

    app = apps()
    flows = app.register(looping)
    async with app:
        await flows.schedule("a", 1)
        await begun.wait()
        assert await flows.cancel("a") is Delivery.ACCEPTED
        go_on.set()
        with pytest.raises(FlowCancelled):
            await flows.completion("a")


async def test_branches_that_still_wait_are_left(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def both(n: int) -> str:
        if n == 0:
            return "done"

        async def again() -> None:
            await capture(note, f"run {n}")
            await both.continue_as_new(n - 1)

        await gather(message(Tick), again())
        return "?"

    app = apps()
    flows = app.register(both)
    async with app:
        assert await flows.run("a", 2) == "done"
        assert ran == ["run 2", "run 1"]


async def test_what_was_not_flushed_is_not_missed(apps: Apps) -> None:
    @effect(flush=False)
    async def unflushed() -> int:
        return 1

    @flow
    async def once_more(n: int) -> int:
        await unflushed()
        if n:
            await once_more.continue_as_new(0)
        return n

    app = apps()
    flows = app.register(once_more)
    async with app:
        assert await flows.run("a", 1) == 0


async def test_the_new_run_is_a_new_incarnation_and_outlives_its_process(
    shared: Apps, clock: VirtualClock
) -> None:
    entered = asyncio.Event()

    @flow
    async def second(n: int) -> str:
        await capture(note, f"run {n}")
        if n == 1:
            await second.continue_as_new(2)
        if current_flow().incarnation == 2:
            entered.set()
            await asyncio.get_running_loop().create_future()
        return f"ended in run {n}"

    hung, flows = await shared.hang(second)
    await flows.schedule("a", 1)
    await until(entered.is_set)
    app = shared()
    handle: Any = app.register(second)
    async with app:
        await clock.advance(timedelta(seconds=30))
        assert await handle.completion("a") == "ended in run 2"
        assert (await row(app, "second", "a")).status is Status.DONE
    assert ran == ["run 1", "run 2"]
    assert hung is not app
