"""The queue of a lock as an operator sees it, and places taken by force."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, events_of, names_of, row
from tests.flows.guarded import guarded, standing, trail
from unbroken import Status, capture, flow, lock, sleep
from unbroken.testing import VirtualClock

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NEVER = timedelta(days=10_000)
STAYS = pytest.mark.parametrize("stay", [AT_ONCE, 100 * HOUR], ids=["suspended", "warm"])


@pytest.fixture(autouse=True)
def _no_trail() -> None:
    trail.clear()


class Broken(Exception):
    pass


async def test_an_operator_sees_who_holds_and_waits_and_since_when(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps(suspend_after=AT_ONCE)
    flows = app.register(guarded)
    async with app:
        queue = app.queue("x")
        assert (queue.name, list(await queue.holders()), list(await queue.waiting())) == (
            "x",
            [],
            [],
        )
        await flows.schedule("a")
        await clock.advance(MINUTE)
        await flows.schedule("b")
        await clock.settle()
        (holder,), (waiting,) = await queue.holders(), await queue.waiting()
        assert (holder.flow_type, holder.flow_id, waiting.flow_id) == ("guarded", "a", "b")
        assert waiting.since - holder.since == MINUTE


@STAYS
async def test_a_place_that_is_taken_by_force_goes_to_the_next_and_the_holder_ends_in_peace(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    app = apps(suspend_after=stay)
    told = events_of(app)
    flows = app.register(guarded)
    async with app:
        for id in "abc":
            await flows.schedule(id)
            await clock.settle()
        queue = app.queue("x")
        assert not await queue.release("guarded", "b"), "it only waits"
        assert not await queue.release("guarded", "nobody")
        assert not await queue.release("other", "a")
        assert await queue.release("guarded", "a")
        await clock.settle()
        assert trail == ["in a", "in b"]
        assert await standing(app) == ["B", "c"]
        await clock.advance(HOUR + MINUTE)
        await flows.completion("a")
        assert names_of(told).count("lock.was_released") == 1
        await clock.advance(HOUR)
        assert trail[-1] == "out c"
        assert names_of(told).count("lock.was_released") == 1


async def test_an_operator_in_a_client_may_free_a_place(shared: Apps, clock: VirtualClock) -> None:
    app, client = shared(suspend_after=HOUR, lease=NEVER), shared(execute=False, lease=NEVER)
    flows = app.register(guarded)
    async with app, client:
        for id in "ab":
            await flows.schedule(id)
            await clock.settle()
        assert await client.queue("x").release("guarded", "a")
        await clock.advance(MINUTE)
        assert trail == ["in a", "in b"]


async def test_a_parked_flow_keeps_its_place_and_an_operator_may_take_it(
    shared: Apps, clock: VirtualClock
) -> None:
    def text() -> str:
        return "text"

    def number() -> int:
        return 1

    def held(work: Callable[[], object]) -> Any:
        @flow(name="held")
        async def definition() -> None:
            async with lock("x"):
                await capture("value", work)
                await sleep(HOUR)

        return definition

    app = shared(suspend_after=AT_ONCE)
    flows = app.register(held(text))
    async with app:
        await flows.schedule("a")
        await clock.settle()
    app = shared(suspend_after=AT_ONCE)
    app.register(held(number))
    others = app.register(guarded)
    async with app:
        await others.schedule("b")
        await clock.advance(2 * HOUR)
        assert (await row(app, "held", "a")).status is Status.PARKED
        assert await standing(app) == ["A", "b"]
        assert await app.queue("x").release("held", "a")
        await clock.settle()
        assert await standing(app) == ["B"]
