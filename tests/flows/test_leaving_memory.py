"""Leaving memory: what is stored, what is refused after it, and code that will not go."""

from datetime import datetime, timedelta

import pytest

from tests.flows.apps import AT_ONCE, Apps, Gate, events_of, loose, names_of, row, stored_effects
from unbroken import Status, capture, current_flow, flow, gather, message, now, sleep
from unbroken.testing import VirtualClock

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


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

        loose(app)._store.commit = commit_late
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
