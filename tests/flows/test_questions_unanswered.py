"""Questions without an answer: to absent and ended flows, time-outs, cancels."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, events_of, names_of
from tests.flows.asking import (
    HOUR,
    MINUTE,
    SECOND,
    Address,
    ChangeAddress,
    ChangeName,
    moving,
    refused_by,
)
from unbroken import (
    FlowCancelled,
    FlowEnded,
    FlowFailed,
    FlowNotFound,
    FlowParked,
    ReplayMismatch,
    capture,
    current_flow,
    flow,
    message,
    question,
    sleep,
)
from unbroken.testing import VirtualClock

# no answer


async def test_an_absent_flow_cannot_be_asked(apps: Apps) -> None:
    app = apps()
    flows = app.register(moving)
    async with app:
        with pytest.raises(FlowNotFound, match="'a'"):
            await flows.ask("a", ChangeAddress("Elm"), Address)


async def test_a_flow_that_has_ended_cannot_be_asked(apps: Apps) -> None:
    app = apps()
    flows = app.register(moving)
    async with app:
        await flows.run("a", 0)
        with pytest.raises(FlowEnded):
            await flows.ask("a", ChangeAddress("Elm"), Address)


@flow
async def takes_and_ends(how: str) -> None:
    await question(ChangeAddress)
    await message(str)
    if how == "fail":
        raise LookupError


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
@pytest.mark.parametrize("how", ["return", "fail", "cancel"])
async def test_who_asks_hears_that_the_flow_ended_without_an_answer(
    apps: Apps, clock: VirtualClock, how: str, suspend_after: timedelta
) -> None:
    app = apps(suspend_after=suspend_after)
    flows = app.register(takes_and_ends)
    events = events_of(app)
    async with app:
        scheduled = await flows.schedule("a", how)
        asking = asyncio.create_task(flows.ask("a", ChangeAddress("Elm"), Address))
        await clock.settle()
        if how == "cancel":
            await flows.cancel("a")
        else:
            await flows.send_message("a", "go on")
        with pytest.raises(FlowEnded) as caught:
            await asking
        assert caught.value.flow_id == "a"
        if how == "return":
            await scheduled.completion()
        else:
            with pytest.raises((FlowFailed, FlowCancelled)):
                await scheduled.completion()
    (told,) = [event for event in events if event.name == "flow.unanswered"]
    assert "question:ChangeAddress" in told.text
    assert "Elm" not in told.text


async def test_an_answered_question_is_no_reason_to_warn(apps: Apps) -> None:
    app = apps()
    flows = app.register(moving)
    events = events_of(app)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.ask("a", ChangeAddress("Elm"), Address)
        await scheduled.completion()
    assert "flow.unanswered" not in names_of(events)


async def test_who_asks_a_flow_that_is_parked_hears_that(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def parks() -> None:
        incarnation = current_flow()._incarnation
        await question(ChangeAddress)
        await message(str)
        raise incarnation.park(ReplayMismatch("a", "this", "that"))

    app = apps()
    flows = app.register(parks)
    async with app:
        await flows.schedule("a")
        asking = asyncio.create_task(flows.ask("a", ChangeAddress("Elm"), Address))
        await clock.settle()
        await flows.send_message("a", "go on")
        with pytest.raises(FlowParked):
            await asking
        with pytest.raises(FlowParked):
            await flows.ask("a", ChangeAddress("Elm"), Address)


async def test_a_cancelled_flow_may_still_answer(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def refuses_at_last() -> None:
        asked = await question(ChangeAddress)
        try:
            await sleep(HOUR)
        except FlowCancelled:
            await asked.refuse("cancelled")
            raise

    app = apps()
    flows = app.register(refuses_at_last)
    async with app:
        await flows.schedule("a")
        asking = asyncio.create_task(refused_by(flows.ask("a", ChangeAddress("Elm"), Address)))
        await clock.settle()
        await flows.cancel("a")
        assert await asking == "cancelled"


async def test_a_cancel_is_raised_after_the_answer_not_instead_of_it(
    apps: Apps, clock: VirtualClock
) -> None:
    cancelling: list[Any] = []

    @flow
    async def answers() -> None:
        asked = await question(ChangeAddress)
        await capture("cancel", cancelling.pop())
        await asked.answer("yes")
        await sleep(HOUR)

    app = apps()
    flows = app.register(answers)

    async def cancel_it() -> None:
        await flows.cancel("a")

    cancelling.append(cancel_it)
    async with app:
        scheduled = await flows.schedule("a")
        assert await flows.ask("a", ChangeAddress("Elm"), str) == "yes"
        with pytest.raises(FlowCancelled):
            await scheduled.completion()


async def test_a_question_that_came_too_late_stays_and_is_answered_later(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def slow() -> None:
        await sleep(MINUTE)
        asked = await question(ChangeAddress)
        await asked.answer(asked.value.number)

    app = apps()
    flows = app.register(slow)
    async with app:
        await flows.schedule("a")
        asking = asyncio.create_task(
            flows.ask("a", ChangeAddress("Elm", 4), int, timeout=5 * SECOND, key="k")
        )
        await clock.advance(5 * SECOND)
        with pytest.raises(TimeoutError, match="the question stays"):
            await asking
        again = asyncio.create_task(flows.ask("a", ChangeAddress("Elm", 4), int, key="k"))
        await clock.advance(MINUTE)
        assert await again == 4
        assert app._running().services.replies.asked() == ()


async def test_who_gives_up_waiting_leaves_nothing_behind(apps: Apps, clock: VirtualClock) -> None:
    app = apps()
    flows = app.register(moving)
    async with app:
        await flows.schedule("a")
        asking = asyncio.create_task(flows.ask("a", ChangeName("Ann"), str))
        await clock.settle()
        assert len(app._running().services.replies.asked()) == 1
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert app._running().services.replies.asked() == ()
