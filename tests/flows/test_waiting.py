"""Waits: sleeping, postponing and suspending, never early, never begun anew."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps, row, stored_effects
from unbroken import (
    FlowFailed,
    Status,
    current_flow,
    flow,
    message,
    now,
    postpone,
    sleep,
    sleep_until,
    suspend,
)
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@flow
async def two_sleeps() -> list[datetime]:
    times = [await now()]
    await sleep(DAY)
    times.append(await now())
    await sleep(DAY)
    times.append(await now())
    return times


@pytest.mark.parametrize("suspend_after", [AT_ONCE, 10 * SECOND, 3 * DAY])
async def test_two_sleeps_in_a_row_take_exactly_their_time(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    app = apps(suspend_after=suspend_after)
    flows = app.register(two_sleeps)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(3 * DAY)
        start, first, second = await scheduled.completion()
    assert (first - start, second - start) == (DAY, 2 * DAY)


async def test_a_sleeping_flow_is_begun_again_once_and_not_twice(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps(suspend_after=AT_ONCE)
    flows = app.register(two_sleeps)
    async with app:
        await flows.schedule("a")
        await clock.advance(3 * DAY)
        assert (await row(app, "two_sleeps", "a")).incarnation == 3


async def test_a_sleep_does_not_end_a_microsecond_early(apps: Apps, clock: VirtualClock) -> None:
    app = apps()
    flows = app.register(two_sleeps)
    async with app:
        await flows.schedule("a")
        await clock.advance(2 * DAY - timedelta(microseconds=1))
        assert (await row(app, "two_sleeps", "a")).status is Status.LIVE
        await clock.advance(timedelta(microseconds=1))
        assert (await row(app, "two_sleeps", "a")).status is Status.DONE


async def test_a_sleep_may_last_until_a_moment_in_any_zone(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def until() -> datetime:
        await sleep_until(datetime(2030, 1, 2, 2, tzinfo=timezone(2 * HOUR)))
        return await now()

    app = apps()
    flows = app.register(until)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(2 * DAY)
        assert await scheduled.completion() == datetime(2030, 1, 2, tzinfo=UTC)


async def test_a_sleep_that_is_over_already_does_not_wait(apps: Apps) -> None:
    @flow
    async def no_wait() -> str:
        await sleep(AT_ONCE)
        await sleep(-HOUR)
        await sleep_until(datetime(1999, 1, 1, tzinfo=UTC))
        return "done"

    app = apps()
    flows = app.register(no_wait)
    async with app:
        assert await flows.run("a") == "done"
        assert (await row(app, "no_wait", "a")).incarnation == 1


async def test_a_message_does_not_shorten_a_sleep(apps: Apps, clock: VirtualClock) -> None:
    app = apps(suspend_after=AT_ONCE)
    flows = app.register(two_sleeps)
    async with app:
        scheduled = await flows.schedule("a")
        for _ in range(5):
            await clock.advance(HOUR)
            await flows.send_message("a", "wake up")
        await clock.advance(3 * DAY)
        start, first, second = await scheduled.completion()
    assert (first - start, second - start) == (DAY, 2 * DAY)


async def test_a_sleep_in_memory_ends_in_memory_although_messages_come(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def napping() -> int:
        await sleep(HOUR, suspend_after=2 * HOUR)
        return current_flow().incarnation

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(napping)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(HOUR / 2)
        await flows.send_message("a", "hello")
        await clock.advance(HOUR / 2)
        assert await scheduled.completion() == 1


async def test_a_sleep_is_not_begun_again_by_a_restart(shared: Apps) -> None:
    for hours in (0, 9, 14):
        app = shared()
        flows = app.register(two_sleeps)
        async with app:
            if hours == 0:
                await flows.schedule("a")
            await shared.clock.advance(hours * HOUR)
    app = shared()
    flows = app.register(two_sleeps)
    async with app:
        await shared.clock.advance(25 * HOUR)
        start, first, second = await flows.completion("a")
    assert first - start == 23 * HOUR + HOUR
    assert second - first == DAY


async def test_a_sleep_that_passed_while_nobody_ran_is_over_at_the_next_start(
    shared: Apps,
) -> None:
    @flow
    async def one_day() -> str:
        await sleep(DAY)
        return "awake"

    app = shared()
    flows = app.register(one_day)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
    await shared.clock.advance(7 * DAY)
    app = shared()
    flows = app.register(one_day)
    async with app:
        assert await flows.completion("a") == "awake"


async def test_a_postponed_flow_starts_again_at_its_first_line(
    apps: Apps, clock: VirtualClock
) -> None:
    asked: list[float] = []

    @flow
    async def polite() -> str:
        asked.append(clock.monotonic())
        if len(asked) < 3:
            await postpone(HOUR)
        return "done"

    app = apps()
    flows = app.register(polite)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.settle()
        assert (await row(app, "polite", "a")).owner is None
        await clock.advance(2 * HOUR)
        assert await scheduled.completion() == "done"
        assert stored_effects(app, "a") == {}
    assert asked == [0, 3600, 7200]


async def test_a_message_wakes_a_postponed_flow_before_its_time(
    apps: Apps, clock: VirtualClock
) -> None:
    starts: list[float] = []

    @flow
    async def polite() -> str:
        starts.append(clock.monotonic())
        if len(starts) == 1:
            await postpone(DAY)
        return await message(str)

    app = apps()
    flows = app.register(polite)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(MINUTE)
        await flows.send_message("a", "now")
        assert await scheduled.completion() == "now"
    assert starts == [0, 60]


async def test_a_postponed_flow_goes_on_after_its_process_died(shared: Apps) -> None:
    starts: list[int] = []

    @flow
    async def polite() -> int:
        starts.append(1)
        if len(starts) == 1:
            await postpone(HOUR)
        return len(starts)

    hung, hung_flows = await shared.hang(polite)
    await hung_flows.schedule("a")
    while (await row(hung, "polite", "a")).owner is not None:
        await asyncio.to_thread(lambda: None)
    app = shared()
    flows = app.register(polite)
    async with app:
        await shared.clock.advance(HOUR)
        assert await flows.completion("a") == 2


async def test_a_flow_that_suspends_itself_goes_on_at_the_next_message_only(
    apps: Apps, clock: VirtualClock
) -> None:
    starts: list[int] = []

    @flow
    async def shy() -> str:
        starts.append(1)
        if len(starts) == 1:
            await suspend()
        return await message(str)

    app = apps()
    flows = app.register(shy)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(30 * DAY)
        assert len(starts) == 1
        await flows.send_message("a", "hello")
        assert await scheduled.completion() == "hello"
    assert len(starts) == 2


async def test_a_year_passes_in_a_moment(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def subscription() -> int:
        for _ in range(12):
            await sleep(30 * DAY)
        return 12

    app = apps()
    flows = app.register(subscription)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(360 * DAY)
        assert await scheduled.completion() == 12


async def test_a_crash_during_a_wait_does_not_lose_the_deadline(shared: Apps) -> None:
    @flow
    async def limited() -> tuple[str | None, datetime]:
        return await message(str, timeout=HOUR), await now()

    hung, hung_flows = await shared.hang(limited)
    await hung_flows.schedule("a")
    while not stored_effects(hung, "a"):
        await asyncio.to_thread(lambda: None)
    app = shared()
    flows = app.register(limited)
    async with app:
        await shared.clock.advance(LEASE + SECOND)
        await shared.clock.advance(HOUR)
        nothing, when = await flows.completion("a")
    assert nothing is None
    assert when == datetime(2030, 1, 1, 1, tzinfo=UTC)


async def test_a_flow_may_fail_after_a_wait_outside_of_memory(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def failing() -> None:
        await sleep(HOUR)
        raise LookupError("after the sleep")

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(failing)
    async with app:
        scheduled = await flows.schedule("a")
        waiting = asyncio.create_task(scheduled.completion())
        await clock.advance(HOUR)
        with pytest.raises(FlowFailed, match="LookupError: after the sleep"):
            await waiting
