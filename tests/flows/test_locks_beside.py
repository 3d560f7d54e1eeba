"""Locks beside races, loops and stops."""

from datetime import timedelta

import pytest

from tests.flows.apps import AT_ONCE, Apps, stored_effects
from tests.flows.guarded import guarded, note, standing, trail
from unbroken import capture, flow, for_each, lock, race, sleep
from unbroken.testing import VirtualClock

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
STAYS = pytest.mark.parametrize("stay", [AT_ONCE, 100 * HOUR], ids=["suspended", "warm"])


@pytest.fixture(autouse=True)
def _no_trail() -> None:
    trail.clear()


@STAYS
async def test_the_loser_of_a_race_leaves_the_queue_or_the_block(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    async def locked() -> None:
        async with lock("x"):
            await sleep(HOUR)

    @flow
    async def racing() -> int:
        winner, _ = await race(locked(), sleep(MINUTE))
        await sleep(4 * HOUR)
        async with lock("x"):
            await capture("in", note, "in")
        return winner

    app = apps(suspend_after=stay)
    flows, others = app.register(racing), app.register(guarded)
    async with app:
        await flows.schedule("holder")
        await clock.settle()
        await others.schedule("b")
        await clock.settle()
        await flows.schedule("waiter")
        await clock.settle()
        assert await standing(app) == ["HOLDER", "b", "waiter"]
        await clock.advance(MINUTE)
        assert await standing(app) == ["B"]
        await clock.advance(6 * HOUR)
        assert [await flows.completion(id) for id in ("holder", "waiter")] == [1, 1]
        assert trail[:2] == ["in b", "out b"]
        assert set(trail[2:]) == {"in holder", "in waiter"}


@STAYS
async def test_a_lock_in_each_item_of_a_long_loop(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    async def item(n: int) -> None:
        async with lock("x"):
            await sleep(MINUTE)
            await capture("in", note, str(n))

    @flow
    async def looping() -> None:
        await for_each(range(5), item)

    app = apps(suspend_after=stay)
    flows = app.register(looping)
    async with app:
        for id in "ab":
            await flows.schedule(id)
            await clock.settle()
        await clock.advance(HOUR)
        assert trail == [f"{n} {id}" for n in range(5) for id in "ab"]
        assert stored_effects(app, "a").keys() == {"for_each"}
        assert await standing(app) == []


async def test_a_stop_hands_the_holder_over_with_its_place(
    shared: Apps, clock: VirtualClock
) -> None:
    for round_ in range(3):
        app = shared(suspend_after=HOUR)
        flows = app.register(guarded)
        async with app:
            if not round_:
                for id in "ab":
                    await flows.schedule(id)
                    await clock.settle()
            assert await standing(app) == ["A", "b"]
            await clock.advance(10 * MINUTE)
    app = shared()
    app.register(guarded)
    async with app:
        await clock.advance(3 * HOUR)
        assert trail == ["in a", "out a", "in b", "out b"]
