"""Cancel: raised once at the next use of the engine, recorded there, and never a success."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec
import pytest

from tests.flows.apps import AT_ONCE, Apps, events_of, names_of, row, stored_effects, until
from unbroken import (
    Delivery,
    FlowCancelled,
    FlowFailed,
    FlowTimedOut,
    Retry,
    Status,
    capture,
    current_flow,
    effect,
    flow,
    gather,
    message,
    postpone,
    sleep,
)
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)


class Paid(msgspec.Struct):
    text: str


ran: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


async def note(what: str) -> str:
    ran.append(what)
    return what


@flow
async def sleeping() -> str:
    await capture("before", note, "before")
    try:
        await sleep(HOUR)
    except FlowCancelled:
        await capture("undo", note, "undo")
        raise
    await capture("after", note, "after")
    return "done"


@pytest.mark.parametrize("stay", [AT_ONCE, HOUR * 2], ids=["suspended", "warm"])
async def test_a_cancel_wakes_a_waiting_flow_which_compensates_and_ends_as_cancelled(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    app = apps(suspend_after=stay)
    flows = app.register(sleeping)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        assert await flows.cancel("a") is Delivery.ACCEPTED
        with pytest.raises(FlowCancelled) as caught:
            await flows.completion("a")
        assert caught.value.flow_id == "a"
        assert not isinstance(caught.value, FlowTimedOut)
        assert ran == ["before", "undo"]
        assert (await row(app, "sleeping", "a")).status is Status.CANCELLED
        assert "sleep.cancel" in stored_effects(app, "a")


async def test_a_cancel_is_asked_once_and_answers_what_it_met(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    flows = app.register(sleeping)
    async with app:
        assert await flows.cancel("nobody") is Delivery.NO_SUCH_FLOW
        await flows.schedule("a")
        await clock.settle()
        answers = await asyncio.gather(flows.cancel("a"), flows.cancel("a"))
        assert sorted(answers) == [Delivery.ACCEPTED, Delivery.DUPLICATE]
        with pytest.raises(FlowCancelled):
            await flows.run("a")
        assert await flows.cancel("a") is Delivery.FLOW_ENDED
        assert ran == ["before", "undo"]


@flow
async def swallowing() -> str:
    try:
        await sleep(HOUR)
    except FlowCancelled:
        await capture("cleanup", note, "cleanup")
    await sleep(timedelta(minutes=1))
    await capture("goes on", note, "goes on")
    return "a success?"


async def test_a_cancel_cannot_be_swallowed_into_a_success(apps: Apps, clock: VirtualClock) -> None:
    app = apps(suspend_after=AT_ONCE)
    flows = app.register(swallowing)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.cancel("a")
        await clock.advance(HOUR)
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        # What it does after the cancel is its own affair, and recorded as ever.
        assert ran == ["cleanup", "goes on"]


async def test_a_running_body_ends_and_the_next_use_of_the_engine_raises(
    apps: Apps, clock: VirtualClock
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        begun.set()
        await go_on.wait()
        return await note("slow")

    @flow
    async def working() -> str:
        await capture(slow)
        await capture(note, "never")
        return "done"

    app = apps()
    flows = app.register(working)
    async with app:
        waiting = asyncio.create_task(flows.run("a"))
        await begun.wait()
        await flows.cancel("a")
        go_on.set()
        with pytest.raises(FlowCancelled):
            await waiting
        assert ran == ["slow"]
        assert stored_effects(app, "a") == {"note.cancel": "cancel", "slow": "capture"}


async def test_a_flow_that_has_not_begun_never_begins(apps: Apps, clock: VirtualClock) -> None:
    app = apps()
    flows = app.register(sleeping)
    async with app:
        await flows.schedule_in("a", HOUR)
        assert await flows.cancel("a") is Delivery.ACCEPTED
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        assert ran == []


async def test_a_cancel_that_comes_after_the_last_use_of_the_engine_still_counts(
    apps: Apps, clock: VirtualClock
) -> None:
    """Acknowledged is acknowledged: the flow's end is refused once, and it ends as cancelled."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    @flow
    async def ending() -> str:
        await capture(note, "all of it")
        begun.set()
        await go_on.wait()
        return "done"

    app = apps()
    flows = app.register(ending)
    async with app:
        waiting = asyncio.create_task(flows.run("a"))
        await begun.wait()
        assert await flows.cancel("a") is Delivery.ACCEPTED
        go_on.set()
        with pytest.raises(FlowCancelled):
            await waiting
        assert ran == ["all of it"]


async def test_another_process_asks_and_the_owner_hears(shared: Apps, clock: VirtualClock) -> None:
    app = shared(suspend_after=HOUR * 3)
    flows = app.register(sleeping)
    client = shared(execute=False)
    handle = client.register(sleeping)
    async with app, client:
        await flows.schedule("a")
        await clock.settle()
        assert await handle.cancel("a") is Delivery.ACCEPTED
        await clock.advance(timedelta(seconds=20))  # a few polls, if nothing wakes it sooner
        with pytest.raises(FlowCancelled):
            await handle.completion("a")
        assert ran == ["before", "undo"]


async def test_a_cancel_is_raised_at_the_same_place_after_a_suspension(
    apps: Apps, clock: VirtualClock
) -> None:
    """The compensation waits, leaves memory, and finds itself again behind the same `except`."""

    @flow
    async def order() -> str:
        await capture("reserve", note, "reserve")
        try:
            await message(Paid)
            await capture("ship", note, "ship")
        except FlowCancelled:
            await capture("refund asked", note, "refund asked")
            await sleep(HOUR)
            await capture("refunded", note, "refunded")
            raise
        return "done"

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(order)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.cancel("a")
        await clock.settle()
        # Too late: the wait was cancelled, and says so on every replay.
        assert await flows.send_message("a", Paid("x")) is Delivery.ACCEPTED
        await clock.advance(HOUR)
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        assert ran == ["reserve", "refund asked", "refunded"]


async def test_a_failing_compensation_fails_the_flow(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def order() -> str:
        try:
            await sleep(HOUR)
        except FlowCancelled as cancelled:
            raise LookupError("no way back") from cancelled
        return "done"

    app = apps()
    flows = app.register(order)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.cancel("a")
        with pytest.raises(FlowFailed) as caught:
            await flows.completion("a")
        assert caught.value.error.message == "no way back"


async def test_a_cancel_ends_the_pause_between_two_attempts(
    apps: Apps, clock: VirtualClock
) -> None:
    @effect(retry=Retry(5, initial_delay=HOUR, suspend_above=AT_ONCE))
    async def fail() -> None:
        ran.append("try")
        raise OSError

    @flow
    async def trying() -> None:
        await fail()

    app = apps()
    flows = app.register(trying)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.cancel("a")
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        assert ran == ["try"]


async def test_a_postponed_flow_is_cancelled_when_it_runs_next(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def overloaded() -> None:
        await capture(note, "look")
        await postpone(HOUR)

    app = apps()
    flows = app.register(overloaded)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.cancel("a")
        with pytest.raises(FlowCancelled):
            await flows.completion("a")


async def test_in_a_gather_one_branch_hears_it_and_the_others_are_cancelled(
    apps: Apps, clock: VirtualClock
) -> None:
    ended: list[str] = []

    async def waiting(name: str) -> None:
        try:
            await sleep(HOUR)
        finally:
            ended.append(name)

    @flow
    async def both() -> None:
        try:
            await gather(waiting("one"), waiting("two"))
        except FlowCancelled:
            await capture(note, "undo")
            raise

    app = apps()
    flows = app.register(both)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.cancel("a")
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        assert ended == ["one", "two"]
        assert ran == ["undo"]


async def test_through_a_task_group_the_flow_still_ends_as_cancelled(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(sleep(HOUR))
            group.create_task(message(Paid))

    app = apps()
    flows = app.register(grouped)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.cancel("a")
        with pytest.raises(FlowCancelled):
            await flows.completion("a")


async def test_an_event_tells_of_the_cancel(apps: Apps, clock: VirtualClock) -> None:
    app = apps()
    heard = events_of(app)
    flows = app.register(sleeping)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.cancel("a")
        await clock.settle()
        assert "flow.cancelled" in names_of(heard)


async def test_a_cancel_in_an_async_context_manager_unwinds_it_like_any_error(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def guarded() -> AsyncIterator[None]:
        try:
            yield
        except FlowCancelled as error:
            seen.append(type(error).__name__)
            await capture(note, "compensate")
            raise

    @flow
    async def inside() -> None:
        async with guarded():
            await sleep(HOUR)

    app = apps()
    flows = app.register(inside)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.cancel("a")
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        assert seen == ["FlowCancelled"]
        assert ran == ["compensate"]


async def test_a_cancel_finds_a_flow_that_was_taken_over(shared: Apps, clock: VirtualClock) -> None:
    """The cancel is in the store, not in a process: whoever runs the flow next meets it."""
    entered = asyncio.Event()

    @flow
    async def stuck() -> None:
        await capture("before", note, "before")
        if current_flow().incarnation == 1:
            entered.set()
            await asyncio.get_running_loop().create_future()
        await capture("after", note, "after")

    hung, flows = await shared.hang(stuck)
    await flows.schedule("a")
    await until(entered.is_set)
    app = shared()
    handle = app.register(stuck)
    async with app:
        assert await handle.cancel("a") is Delivery.ACCEPTED
        await clock.advance(timedelta(seconds=30))
        with pytest.raises(FlowCancelled):
            await handle.completion("a")
    assert ran == ["before"]
    assert hung is not app
