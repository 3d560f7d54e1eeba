"""Waits: sleeping, postponing and suspending, in memory and outside of it, never early."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps, Gate, events_of, names_of, row, stored_effects
from unbroken import (
    FlowFailed,
    Status,
    capture,
    current_flow,
    flow,
    gather,
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


async def test_a_suspended_flow_has_no_owner_no_result_and_no_due_time(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def waiting() -> str:
        return await message(str)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(waiting)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        view = await row(app, "waiting", "a")
        assert (view.status, view.owner, view.due_at) == (Status.LIVE, None, None)
        outcome = await app._store.find("waiting", "a")
        assert outcome is not None
        assert outcome.body is None


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


async def test_a_message_sent_between_the_look_and_the_suspension_is_not_lost(
    apps: Apps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is committed in the same moment in which the flow leaves memory."""

    @flow
    async def waiting() -> list[str]:
        return [await message(str) for _ in range(10)]

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(waiting)
    async with app:
        scheduled = await flows.schedule("a")
        for n in range(10):
            await flows.send_message("a", str(n))
        assert await scheduled.completion() == [str(n) for n in range(10)]


async def test_a_message_that_beats_the_suspension_runs_the_flow_again(shared: Apps) -> None:
    """Another process appends after this one looked and before it suspended."""

    @flow
    async def waiting() -> str:
        return await message(str)

    app = shared(suspend_after=AT_ONCE)
    flows = app.register(waiting)
    client = shared(execute=False)
    client_flows = client.register(waiting)
    async with app, client:
        commit = app._store.commit
        sent: list[object] = []

        async def commit_late(batch):
            if batch.changes and not sent:
                sent.append(await client_flows.send_message("a", "just in time"))
            return await commit(batch)

        app._store.commit = commit_late  # pyright: ignore
        scheduled = await flows.schedule("a")
        assert await scheduled.completion() == "just in time"
        assert len(sent) == 1


async def test_a_gather_leaves_memory_only_when_all_its_branches_wait(
    apps: Apps, clock: VirtualClock
) -> None:
    gate = Gate()

    @flow
    async def both() -> tuple[str, None]:
        return await gather(message(str), capture("work", gate.pass_through))

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(both)
    async with app:
        scheduled = await flows.schedule("a")
        await gate.reached()
        assert (await row(app, "both", "a")).owner is not None
        gate.open()
        await clock.settle()
        assert (await row(app, "both", "a")).owner is None
        await flows.send_message("a", "go")
        assert await scheduled.completion() == ("go", None)


async def test_branches_that_all_wait_suspend_with_the_earliest_deadline(
    apps: Apps, clock: VirtualClock
) -> None:
    async def nap(duration: timedelta) -> datetime:
        await sleep(duration)
        return await now()

    @flow
    async def naps() -> tuple[datetime, datetime]:
        return await gather(nap(2 * HOUR), nap(HOUR))

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(naps)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(MINUTE)
        view = await row(app, "naps", "a")
        assert view.due_at == clock.now() + 59 * 60 * 1_000_000
        await clock.advance(2 * HOUR)
        two, one = await scheduled.completion()
    assert two - one == HOUR


async def test_code_that_swallows_the_signal_is_ignored_with_a_warning(
    apps: Apps, clock: VirtualClock
) -> None:
    ran: list[str] = []

    @flow
    async def stubborn() -> str:
        try:
            await message(str)
        except BaseException:
            ran.append("caught")
            try:
                await capture("too late", lambda: ran.append("written"))
            except BaseException:
                ran.append("refused")
            return "made up"
        return "real"

    app = apps(suspend_after=AT_ONCE)
    told = events_of(app)
    flows = app.register(stubborn)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.settle()
        assert (await row(app, "stubborn", "a")).status is Status.LIVE
        assert stored_effects(app, "a") == {}
        await flows.send_message("a", "go")
        assert await scheduled.completion() == "real"
    assert ran == ["caught", "refused"]
    assert "flow.ignored" in names_of(told)


async def test_an_error_raised_while_leaving_memory_is_ignored_with_a_warning(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def clumsy() -> str:
        try:
            return await message(str)
        finally:
            if not current_flow().effects.contains("message:str"):
                raise RuntimeError("while leaving")

    app = apps(suspend_after=AT_ONCE)
    told = events_of(app)
    flows = app.register(clumsy)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.settle()
        assert (await row(app, "clumsy", "a")).status is Status.LIVE
        await flows.send_message("a", "go")
        assert await scheduled.completion() == "go"
    assert "flow.ignored" in names_of(told)


async def test_code_that_never_leaves_memory_is_left_behind(
    apps: Apps, clock: VirtualClock
) -> None:
    gate, ran = Gate(), []

    @flow
    async def stuck() -> str:
        try:
            return await message(str)
        except BaseException:
            ran.append("stuck")
            await gate.pass_through()
            raise

    app = apps(suspend_after=AT_ONCE)
    told = events_of(app)
    flows = app.register(stuck)
    async with app:
        scheduled = await flows.schedule("a")
        await gate.reached()
        await clock._jump(clock.monotonic() + 2)
        await flows.send_message("a", "go")
        assert await scheduled.completion() == "go"
    assert ran == ["stuck"]
    assert "flow.left_behind" in names_of(told)


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


async def test_the_warm_limit_lets_the_longest_waiting_flow_go_first(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def waiting() -> str:
        return await message(str)

    app = apps(warm_limit=2, suspend_after=HOUR)
    flows = app.register(waiting)
    async with app:
        for id in ("first", "second", "third"):
            await flows.schedule(id)
            await clock.settle()
        owners = {info.id: info.owner is not None for info in await flows.list()}
    assert owners == {"first": False, "second": True, "third": True}


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
