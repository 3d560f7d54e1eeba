"""Retries: attempts counted over crashes, delays kept by the clock, and when to give up."""

from datetime import timedelta

import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps, Gate, loose, row, stored_effects
from unbroken import (
    ConfigurationError,
    FlowFailed,
    NotSerializable,
    Retry,
    capture,
    effect,
    flow,
    sleep,
)
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
STEADY = Retry(max_attempts=5, initial_delay=SECOND, backoff=1, jitter=0)


class Busy(Exception):
    def __init__(self, after: int) -> None:
        super().__init__(after)
        self.after = after


async def test_an_effect_is_tried_until_it_succeeds_and_keeps_one_result(
    apps: Apps, clock: VirtualClock
) -> None:
    tries: list[float] = []

    @effect(retry=STEADY)
    async def call() -> int:
        tries.append(clock.monotonic())
        if len(tries) < 4:
            raise OSError("busy")
        return len(tries)

    @flow
    async def calling() -> int:
        result = await call()
        await sleep(HOUR)
        return result

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(calling)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR + 10 * SECOND)
        assert await flows.completion("a") == 4
        assert stored_effects(app, "a").keys() == {"call", "sleep"}
    assert tries == [0, 1, 2, 3]


async def test_the_number_of_attempts_survives_a_crash(shared: Apps) -> None:
    gate, tries = Gate(), []

    @effect(retry=Retry(max_attempts=3, initial_delay=AT_ONCE))
    async def call() -> None:
        tries.append(1)
        if len(tries) == 3:
            await gate.pass_through()
        raise OSError(f"try {len(tries)}")

    @flow
    async def calling() -> None:
        await call()

    _, hung_flows = await shared.hang(calling)
    await hung_flows.schedule("a")
    await gate.reached()
    other = shared()
    flows = other.register(calling)
    async with other:
        await shared.clock.advance(LEASE + SECOND)
        with pytest.raises(FlowFailed, match="OSError: try 4"):
            await flows.completion("a")
    assert len(tries) == 4, "the third one was cut by the crash and tried again"


async def test_a_long_delay_is_waited_for_outside_of_memory(
    apps: Apps, clock: VirtualClock
) -> None:
    tries: list[float] = []

    @effect(retry=Retry(initial_delay=HOUR, jitter=0))
    async def call() -> str:
        tries.append(clock.monotonic())
        if len(tries) == 1:
            raise OSError("busy")
        return "done"

    @flow
    async def calling() -> str:
        return await call()

    app = apps()
    flows = app.register(calling)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        assert (await row(app, "calling", "a")).owner is None
        await clock.advance(HOUR)
        assert await flows.completion("a") == "done"
        assert (await row(app, "calling", "a")).incarnation == 2
    assert tries == [0, 3600]


async def test_a_short_delay_is_waited_for_in_memory(apps: Apps, clock: VirtualClock) -> None:
    tries: list[float] = []

    @effect(retry=Retry(initial_delay=4 * SECOND, jitter=0, suspend_above=4 * SECOND))
    async def call() -> str:
        tries.append(clock.monotonic())
        if len(tries) == 1:
            raise OSError("busy")
        return "done"

    @flow
    async def calling() -> str:
        return await call()

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(calling)
    async with app:
        await flows.schedule("a")
        await clock.advance(2 * SECOND)
        assert (await row(app, "calling", "a")).owner is not None
        await clock.advance(2 * SECOND)
        assert await flows.completion("a") == "done"
        assert (await row(app, "calling", "a")).incarnation == 1
    assert tries == [0, 4]


async def test_a_retry_waits_its_whole_delay_after_a_crash_too(shared: Apps) -> None:
    tries: list[int] = []

    @effect(retry=Retry(initial_delay=HOUR, jitter=0))
    async def call() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("busy")
        return "done"

    @flow
    async def calling() -> str:
        return await call()

    first = shared()
    flows = first.register(calling)
    async with first:
        await flows.schedule("a")
        await shared.clock.advance(HOUR / 2)
    second = shared()
    flows = second.register(calling)
    async with second:
        await shared.clock.advance(HOUR / 2 - SECOND)
        assert len(tries) == 1
        await shared.clock.advance(SECOND)
        assert await flows.completion("a") == "done"


@pytest.mark.parametrize("retry_if", [KeyError, (KeyError, IndexError), lambda e: e.args == (1,)])
async def test_an_error_that_is_not_worth_it_stops_at_once(apps: Apps, retry_if: object) -> None:
    tries: list[int] = []

    @effect(retry=loose(Retry)(initial_delay=AT_ONCE, retry_if=retry_if))
    async def call() -> None:
        tries.append(1)
        raise KeyError(1) if len(tries) < 3 else OSError(2)

    @flow
    async def calling() -> None:
        await call()

    app = apps()
    flows = app.register(calling)
    async with app:
        with pytest.raises(FlowFailed, match="OSError: 2"):
            await flows.run("a")
    assert len(tries) == 3


async def test_the_last_error_is_raised_when_attempts_are_exhausted(
    apps: Apps, clock: VirtualClock
) -> None:
    tries: list[int] = []
    caught: list[str] = []

    @effect(retry=STEADY)
    async def call() -> None:
        tries.append(1)
        raise OSError(f"try {len(tries)}")

    @flow
    async def calling() -> None:
        try:
            await call()
        except OSError as error:
            caught.append(str(error))
        await sleep(HOUR)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(calling)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR + 10 * SECOND)
        await flows.completion("a")
        assert stored_effects(app, "a").keys() == {"call", "sleep"}
    assert caught == ["try 5", "try 5"]
    assert len(tries) == 5


async def test_delays_double_up_to_the_longest(apps: Apps, clock: VirtualClock) -> None:
    tries: list[float] = []

    @effect(retry=Retry(6, initial_delay=SECOND, max_delay=5 * SECOND, jitter=0))
    async def call() -> None:
        tries.append(clock.monotonic())
        raise OSError

    @flow
    async def calling() -> None:
        await call()

    app = apps()
    flows = app.register(calling)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
    assert tries == [0, 1, 3, 7, 12, 17]


async def test_the_error_may_choose_the_delay(apps: Apps, clock: VirtualClock) -> None:
    tries: list[float] = []

    def delay(error: Exception, attempt: int) -> timedelta | None:
        return timedelta(seconds=error.after * attempt) if isinstance(error, Busy) else None

    @effect(retry=Retry(4, initial_delay=SECOND, jitter=0, delay=delay))
    async def call() -> None:
        tries.append(clock.monotonic())
        raise Busy(10) if len(tries) < 3 else OSError

    @flow
    async def calling() -> None:
        await call()

    app = apps()
    flows = app.register(calling)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
    assert tries == [0, 10, 30, 34]


async def test_jitter_only_shortens_a_delay(apps: Apps, clock: VirtualClock) -> None:
    tries: list[float] = []

    class Middle:
        def fraction(self) -> float:
            return 0.5

        def new_id(self) -> str:
            return f"id{id(object())}"

    @effect(retry=Retry(2, initial_delay=4 * SECOND, jitter=0.5))
    async def call() -> None:
        tries.append(clock.monotonic())
        raise OSError

    @flow
    async def calling() -> None:
        await call()

    app = apps(random=Middle())
    flows = app.register(calling)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
    assert tries == [0, 3]


async def test_a_value_that_cannot_be_kept_is_not_tried_again(apps: Apps) -> None:
    tries: list[int] = []

    @effect(retry=Retry(initial_delay=AT_ONCE))
    async def call() -> object:
        tries.append(1)
        return object()

    @flow
    async def calling() -> None:
        await call()

    app = apps()
    flows = app.register(calling)
    async with app:
        with pytest.raises(FlowFailed) as caught:
            await flows.run("a")
    assert caught.value.error.type.endswith(NotSerializable.__name__)
    assert len(tries) == 1


async def test_nested_effects_of_a_failed_attempt_are_remembered_by_the_next(apps: Apps) -> None:
    ran: list[str] = []

    def reserve() -> str:
        ran.append("reserve")
        return "R"

    @effect(retry=Retry(3, initial_delay=AT_ONCE))
    async def buy() -> str:
        ran.append("buy")
        reserved = await capture(reserve)
        if ran.count("buy") < 3:
            raise OSError
        return reserved

    @flow
    async def buying() -> str:
        return await buy()

    app = apps()
    flows = app.register(buying)
    async with app:
        assert await flows.run("a") == "R"
        assert stored_effects(app, "a").keys() == {"buy"}
    assert ran == ["buy", "reserve", "buy", "buy"]


def test_a_retry_of_an_at_most_once_effect_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at_most_once=True contradicts retry"):
        loose(effect)(lambda: 1, at_most_once=True, retry=Retry())


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"backoff": 0.5},
        {"jitter": 1.5},
        {"initial_delay": -SECOND},
        {"max_delay": -SECOND},
    ],
)
def test_a_retry_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="Retry"):
        loose(Retry)(**wrong)
