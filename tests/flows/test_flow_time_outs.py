"""A flow's own time-out cancels it."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.flows.apps import AT_ONCE, Apps, loose, row
from unbroken import FlowCancelled, FlowTimedOut, RegistrationError, Status, capture, flow, sleep
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


@flow(timeout=HOUR)
async def limited(duration: timedelta) -> str:
    await capture("begin", note, "begin")
    try:
        await sleep(duration)
    except FlowTimedOut:
        await capture("undo", note, "undo")
        raise
    return "in time"


@pytest.mark.parametrize("stay", [AT_ONCE, HOUR * 5], ids=["suspended", "warm"])
async def test_a_flow_that_takes_too_long_is_cancelled(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    app = apps(suspend_after=stay)
    flows = app.register(limited)
    async with app:
        await flows.schedule("late", HOUR * 2)
        await flows.schedule("early", HOUR / 2)
        await clock.advance(HOUR - timedelta(seconds=1))
        assert await flows.completion("early") == "in time"
        assert ran.count("undo") == 0
        await clock.advance(timedelta(seconds=2))
        with pytest.raises(FlowTimedOut) as caught:
            await flows.completion("late")
        assert isinstance(caught.value, FlowCancelled)
        assert isinstance(caught.value, TimeoutError)
        assert ran.count("undo") == 1


async def test_the_time_counts_from_the_first_run_and_over_takeovers(
    shared: Apps, clock: VirtualClock
) -> None:
    hung, flows = await shared.hang(limited)
    await flows.schedule("a", HOUR * 3)
    await loose(hung)._clock.settle()
    app = shared()
    handle = app.register(limited)
    async with app:
        await clock.advance(HOUR / 2)
        assert (await row(app, "limited", "a")).status is Status.LIVE
        await clock.advance(HOUR / 2 + timedelta(seconds=1))
        with pytest.raises(FlowTimedOut):
            await handle.completion("a")


async def test_a_childs_time_out_reaches_its_parent_as_that(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def waiting() -> str:
        try:
            await limited.run("child", HOUR * 2)
        except FlowTimedOut:
            return "the child was too slow"
        return "?"

    app = apps(suspend_after=AT_ONCE)
    app.register(limited)
    flows = app.register(waiting)
    async with app:
        await flows.schedule("p")
        await clock.advance(HOUR * 2)
        assert await flows.completion("p") == "the child was too slow"


@pytest.mark.parametrize("timeout", [timedelta(0), timedelta(seconds=-1), 5])
def test_a_time_out_that_cannot_work_is_refused(timeout: Any) -> None:
    with pytest.raises(RegistrationError, match="timedelta"):
        flow(timeout=timeout)
