"""What a replica knows of the store's time: two bounds, one for judging and one for beginning."""

from datetime import timedelta

import pytest

from unbroken.engine.events import Events
from unbroken.engine.replica import Replica
from unbroken.engine.rest import Rest
from unbroken.engine.settings import Settings
from unbroken.engine.waits import Limit
from unbroken.model.randomness import SystemRandom
from unbroken.stores import open_store
from unbroken.testing.clock import VirtualClock

SECOND = 1_000_000


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def replica(clock: VirtualClock) -> Replica:
    store = open_store("sqlite://", clock=clock)
    return Replica(store, clock, SystemRandom(), Settings(), Events(), Rest())


async def answer_after(clock: VirtualClock, replica: Replica, there: int, back: int) -> int:
    """Learn the store's time from an answer that took so many seconds; give the true time."""
    sent = clock.monotonic()
    await clock.advance(timedelta(seconds=there))
    read = clock.now()
    await clock.advance(timedelta(seconds=back))
    replica.learn_time(read, sent)
    return clock.now()


@pytest.mark.parametrize(("there", "back"), [(0, 0), (3, 0), (0, 3), (2, 1)])
async def test_the_true_time_lies_between_the_bounds(
    clock: VirtualClock, replica: Replica, there: int, back: int
) -> None:
    true = await answer_after(clock, replica, there, back)
    assert replica.now() == true - back * SECOND
    assert replica.latest() == true + there * SECOND
    await clock.advance(timedelta(hours=1))
    assert replica.now() <= clock.now() <= replica.latest()


async def test_a_duration_is_not_cut_short_by_a_slow_answer(
    clock: VirtualClock, replica: Replica
) -> None:
    true = await answer_after(clock, replica, there=0, back=3)
    deadline = Limit(4 * SECOND, is_relative=True).from_now(replica)
    assert deadline == true + 4 * SECOND


async def test_a_wait_of_no_duration_is_over_at_once(clock: VirtualClock, replica: Replica) -> None:
    await answer_after(clock, replica, there=1, back=1)
    assert Limit(0, is_relative=True).from_now(replica) <= replica.now()


async def test_a_slow_answer_does_not_take_known_time_back(
    clock: VirtualClock, replica: Replica
) -> None:
    true = await answer_after(clock, replica, there=0, back=0)
    assert replica.now() == true
    true = await answer_after(clock, replica, there=0, back=3)
    assert replica.now() == replica.latest() == true


async def test_a_store_clock_that_was_set_back_is_believed(
    clock: VirtualClock, replica: Replica
) -> None:
    await answer_after(clock, replica, there=0, back=0)
    yesterday = clock.now() - 86_400 * SECOND
    replica.learn_time(yesterday, clock.monotonic())
    assert replica.now() == yesterday
