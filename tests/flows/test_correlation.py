"""Correlation ids: a message that reaches every flow that registered one."""

from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, count_rows, loose, stored_effects, stored_messages
from unbroken import (
    Delivery,
    FlowFailed,
    ForgottenAwait,
    InvalidId,
    NotInFlow,
    NotSerializable,
    capture,
    correlate,
    flow,
    gather,
    message,
    sleep,
    uncorrelate,
)
from unbroken.model.errors import OutcomeUnknown
from unbroken.stores.batch import Batch, Correlate
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)
STAYS = pytest.mark.parametrize("stay", [AT_ONCE, 100 * HOUR], ids=["suspended", "warm"])


@flow
async def listening(*correlations: str) -> str:
    for one in correlations:
        await correlate(one)
    return await message(str)


@STAYS
async def test_a_message_reaches_every_flow_of_the_type_that_registered_the_id(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    @flow
    async def other(correlation: str) -> str:
        await correlate(correlation)
        return await message(str)

    app = apps(suspend_after=stay)
    flows, others = app.register(listening), app.register(other)
    async with app:
        await flows.schedule("z", "order-7")
        await flows.schedule("a", "order-7", "order-8")
        await flows.schedule("m", "order-8")
        await others.schedule("x", "order-7")
        await clock.settle()
        assert await flows.route_message("hello", "order-7") == [Delivery.ACCEPTED] * 2
        assert await flows.completion("z") == await flows.completion("a") == "hello"
        await clock.settle()
        assert await flows.route_message("again", "order-7") == []
        assert await flows.route_message("once", "order-8") == [Delivery.ACCEPTED]
        assert await flows.completion("m") == "once"
        assert await others.route_message("to x", "order-7") == [Delivery.ACCEPTED]


async def test_equal_keys_are_one_message_in_each_flow(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def patient() -> str:
        await correlate("c")
        return await message(str, where=lambda text: text == "end")

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(patient)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        assert await flows.route_message("x", "c", key="k") == [Delivery.ACCEPTED]
        await flows.schedule("b")
        await clock.settle()
        answers = await flows.route_message("x", "c", key="k")
        assert answers == [Delivery.DUPLICATE, Delivery.ACCEPTED]
        await flows.route_message("x", "c")
        await flows.route_message("x", "c")
        assert len(stored_messages(app, "a")) == len(stored_messages(app, "b")) == 3
        await flows.route_message("end", "c")
        assert await flows.completion("b") == "end"


async def test_a_registration_is_recorded_once_and_may_be_made_again(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def again() -> None:
        await correlate("a/b.c#d%")
        await correlate("a/b.c#d%")
        await sleep(HOUR)
        await uncorrelate("a/b.c#d%")
        await uncorrelate("never registered")
        await sleep(HOUR)
        await correlate("a/b.c#d%")
        await sleep(HOUR)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(again)
    async with app:
        await flows.schedule("a")
        found: list[int] = []
        for _ in range(4):
            await clock.settle()
            found.append(len(await flows.route_message("x", "a/b.c#d%")))
            await clock.advance(HOUR)
        assert found == [1, 0, 1, 0]
        assert {key for key, kind in stored_effects(app, "a").items() if kind == "correlation"} == {
            "correlate:a%2Fb%2Ec%23d%25",
            "correlate:a%2Fb%2Ec%23d%25#2",
            "correlate:a%2Fb%2Ec%23d%25#3",
            "uncorrelate:a%2Fb%2Ec%23d%25",
            "uncorrelate:never registered",
        }


async def test_registrations_in_branches(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def branched() -> list[str]:
        await gather(correlate("a"), correlate("b"), correlate("b"))
        return [await message(str) for _ in range(2)]

    app = apps()
    flows = app.register(branched)
    async with app:
        await flows.schedule("f")
        await clock.settle()
        await flows.route_message("1", "a")
        await flows.route_message("2", "b")
        assert await flows.completion("f") == ["1", "2"]


async def test_it_holds_after_continue_as_new_and_ends_with_the_flow(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def anew(rounds: int) -> str:
        if rounds == 1:
            await correlate("c")
            await anew.continue_as_new(0)
        return await message(str)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(anew)
    async with app:
        await flows.schedule("a", 1)
        await clock.settle()
        assert await flows.route_message("x", "c") == [Delivery.ACCEPTED]
        assert await flows.completion("a") == "x"
        assert await flows.route_message("y", "c") == []


async def test_another_app_routes_too_and_retention_deletes_registrations(
    shared: Apps, clock: VirtualClock
) -> None:
    never = timedelta(days=10_000)
    app = shared(suspend_after=HOUR, lease=never, retention=HOUR)
    client = shared(execute=False, lease=never)
    flows, handle = app.register(listening), client.register(listening)
    async with app, client:
        await flows.schedule("a", "c")
        await clock.settle()
        assert await handle.route_message("x", "c") == [Delivery.ACCEPTED]
        await clock.advance(timedelta(seconds=20))
        assert await flows.completion("a") == "x"
        assert count_rows(app, "correlations") == 1
        await clock.advance(3 * HOUR)
        assert count_rows(app, "correlations") == 0


async def test_a_renamed_type_is_reached_under_its_former_names(
    shared: Apps, clock: VirtualClock
) -> None:
    async def listen(correlation: str) -> str:
        await correlate(correlation)
        return await message(str)

    before = flow(name="before")(listen)
    after = flow(name="after", aliases=["before"])(listen)
    app = shared(suspend_after=AT_ONCE)
    olds = app.register(before)
    async with app:
        await olds.schedule("old", "c")
        await clock.settle()
    app = shared(suspend_after=AT_ONCE)
    flows = app.register(after)
    async with app:
        await flows.schedule("new", "c")
        await clock.settle()
        assert await flows.route_message("x", "c") == [Delivery.ACCEPTED] * 2
        assert await flows.completion("old") == await flows.completion("new") == "x"


@pytest.mark.parametrize("landed", [True, False])
async def test_a_registration_with_an_unknown_outcome_is_made(
    apps: Apps, clock: VirtualClock, *, landed: bool
) -> None:
    app = apps()
    flows = app.register(listening)
    commit = app._store.commit
    unknown = [OutcomeUnknown("the connection broke at COMMIT")]

    async def troubled(batch: Batch) -> Any:
        is_wanted = unknown and any(isinstance(one, Correlate) for one in batch.changes)
        if is_wanted and not landed:
            raise unknown.pop()
        receipt = await commit(batch)
        if is_wanted:
            raise unknown.pop()
        return receipt

    loose(app)._store.commit = troubled
    async with app:
        await flows.schedule("a", "c")
        await clock.settle()
        assert unknown == []
        assert await flows.route_message("x", "c") == [Delivery.ACCEPTED]
        assert await flows.completion("a") == "x"


# bad input


@pytest.mark.parametrize("correlation", ["", "x" * 256, "a\0b", "\ud800", 7, None])
async def test_what_is_no_id_is_refused(apps: Apps, correlation: object) -> None:
    app = apps()
    flows = app.register(listening)
    async with app:
        with pytest.raises(InvalidId, match="correlation id"):
            await flows.route_message("x", loose(correlation))
        with pytest.raises(InvalidId, match="message key"):
            await flows.route_message("x", "c", key=loose(correlation) or "")
        with pytest.raises(NotSerializable):
            await flows.route_message(None, "c")

    @flow
    async def wrong() -> None:
        await correlate(loose(correlation))

    app = apps()
    wrongs = app.register(wrong)
    async with app:
        with pytest.raises(FlowFailed, match="correlation id"):
            await wrongs.run("a")


async def test_it_works_in_flows_only_and_must_be_awaited(apps: Apps) -> None:
    for use in (correlate, uncorrelate):
        with pytest.raises(NotInFlow, match="running flow"):
            loose(use)("c")

    async def body() -> None:
        await correlate("c")

    @flow
    async def in_a_body() -> None:
        await capture("body", body)

    forgotten: list[Any] = []

    @flow
    async def forgets() -> None:
        forgotten.append(correlate("c"))

    app = apps()
    bodies, forgetting = app.register(in_a_body), app.register(forgets)
    async with app:
        with pytest.raises(FlowFailed, match="NotInFlow"):
            await bodies.run("a")
        with pytest.raises(FlowFailed) as caught:
            await forgetting.run("a")
        assert isinstance(caught.value.__cause__, ForgottenAwait)
        forgotten.pop().close()
        assert count_rows(app, "correlations") == 0
