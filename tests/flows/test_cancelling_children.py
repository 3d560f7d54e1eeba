"""What a cancel of the parent does to its children."""

from datetime import timedelta

import msgspec
import pytest

from tests.flows.apps import AT_ONCE, Apps, row
from unbroken import Delivery, FlowCancelled, FlowFailed, Status, capture, flow, sleep
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
async def child(name: str) -> str:
    try:
        await sleep(HOUR)
    except FlowCancelled:
        await capture(note, f"{name} cancelled")
        raise
    return await capture(note, f"{name} done")


@flow
async def parent() -> None:
    await child.run("child", "child")


async def test_a_cancel_reaches_the_children_too(apps: Apps, clock: VirtualClock) -> None:
    app = apps()
    children = app.register(child)
    parents = app.register(parent)
    async with app:
        await parents.schedule("p")
        await clock.settle()
        await parents.cancel("p")
        with pytest.raises(FlowCancelled) as caught:
            await parents.completion("p")
        assert caught.value.flow_id == "p"
        with pytest.raises(FlowCancelled):
            await children.completion("child")
        assert ran == ["child cancelled"]


async def test_children_that_are_not_awaited_are_reached_as_well(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def scheduling() -> None:
        await child.schedule("one", "one")
        await child.options(on_cancel="leave").schedule("left", "left")
        done = await child.schedule("done", "done")
        await done.completion()
        await sleep(HOUR)

    app = apps()
    children = app.register(child)
    parents = app.register(scheduling)
    async with app:
        await parents.schedule("p")
        await clock.settle()
        await parents.cancel("p")
        with pytest.raises(FlowCancelled):
            await parents.completion("p")
        await clock.advance(HOUR)
        assert sorted(ran) == ["done cancelled", "left done", "one cancelled"]
        assert await children.completion("left") == "left done"


async def test_a_child_that_is_left_goes_on_alone(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def leaving() -> None:
        await child.options(on_cancel="leave").run("child", "child")

    app = apps()
    children = app.register(child)
    parents = app.register(leaving)
    async with app:
        await parents.schedule("p")
        await clock.settle()
        await parents.cancel("p")
        with pytest.raises(FlowCancelled):
            await parents.completion("p")
        assert ran == []
        await clock.advance(HOUR)
        assert await children.completion("child") == "child done"


async def test_a_child_that_is_waited_for_ends_before_the_cancel_is_raised(
    apps: Apps, clock: VirtualClock
) -> None:
    results: list[str] = []

    @flow
    async def patient() -> None:
        results.append(await child.options(on_cancel="wait").run("child", "child"))
        await capture(note, "never")

    app = apps(suspend_after=AT_ONCE)
    app.register(child)
    parents = app.register(patient)
    async with app:
        await parents.schedule("p")
        await clock.settle()
        assert await parents.cancel("p") is Delivery.ACCEPTED
        await clock.settle()
        assert (await row(app, "patient", "p")).status is Status.LIVE
        await clock.advance(HOUR)
        with pytest.raises(FlowCancelled):
            await parents.completion("p")
        assert results[-1] == "child done"
        assert ran == ["child done"]


async def test_a_cancelled_child_does_not_cancel_its_parent(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    children = app.register(child)
    parents = app.register(parent)
    async with app:
        await parents.schedule("p")
        await clock.settle()
        await children.cancel("child")
        with pytest.raises(FlowFailed) as caught:
            await parents.completion("p")
        assert "child" in caught.value.error.message


async def test_a_cancel_at_the_completion_is_not_raised_at_the_start_on_a_replay(
    apps: Apps, clock: VirtualClock
) -> None:
    """Start and completion share a key; the compensation around the one must not be missed."""

    @flow
    async def order() -> None:
        scheduled = await child.schedule("child", "child")
        try:
            await scheduled.completion()
        except FlowCancelled:
            await sleep(HOUR)
            await capture("undo", note, "undo")
            raise

    app = apps(suspend_after=AT_ONCE)
    app.register(child)
    flows = app.register(order)
    async with app:
        await flows.schedule("p")
        await clock.settle()
        await flows.cancel("p")
        await clock.advance(HOUR)
        with pytest.raises(FlowCancelled):
            await flows.completion("p")
        assert ran == ["child cancelled", "undo"]
