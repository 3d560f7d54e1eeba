"""Starting flows: results, duplicates, failures, and what a row says meanwhile."""

import asyncio
from datetime import timedelta

import pytest

from tests.flows.apps import AT_ONCE, Apps, Gate, count_rows, loose, row
from unbroken import (
    FlowFailed,
    FlowNotFound,
    NotInFlow,
    ParamIgnored,
    Status,
    capture,
    current_flow,
    flow,
    message,
    postpone,
    sleep,
    suspend,
)
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)


@flow
async def double(n: int) -> int:
    return n * 2


@flow
async def nothing() -> None:
    return


@flow
async def fail(text: str) -> None:
    raise LookupError(text)


@flow
async def wait_for_text(prefix: str) -> str:
    return prefix + await message(str)


async def test_a_flow_returns_its_result_and_its_row_keeps_it(apps: Apps) -> None:
    app = apps()
    doubles = app.register(double)
    async with app:
        assert await doubles.run("a", 21) == 42
        assert (await row(app, "double", "a")).status is Status.DONE
        assert await doubles.completion("a") == 42


async def test_a_flow_may_take_nothing_and_give_nothing(apps: Apps) -> None:
    app = apps()
    nothings = app.register(nothing)
    async with app:
        assert await nothings.run("a") is None
        assert (await row(app, "nothing", "a")).status is Status.DONE


async def test_a_flow_may_take_nothing_and_give_something(apps: Apps) -> None:
    @flow
    async def answer() -> int:
        return 42

    app = apps()
    answers = app.register(answer)
    async with app:
        assert await answers.run("a") == 42


async def test_a_result_of_none_is_a_result(apps: Apps) -> None:
    runs: list[int] = []

    @flow
    async def find(n: int) -> str | None:
        runs.append(n)
        return None

    app = apps()
    finds = app.register(find)
    async with app:
        assert await finds.run("a", 1) is None
        assert await finds.run("a", 1) is None
    assert runs == [1]


async def test_arguments_go_by_position_and_name_and_defaults_fill_in(apps: Apps) -> None:
    @flow
    async def describe(id: str, /, count: int, *, color: str = "red") -> str:
        return f"{count} {color} {id}"

    app = apps()
    flows = app.register(describe)
    async with app:
        assert await flows.run("a", "shoe", 2) == "2 red shoe"
        assert await flows.run("b", "shoe", count=3, color="blue") == "3 blue shoe"


async def test_arguments_that_do_not_fit_the_signature_start_nothing(apps: Apps) -> None:
    app = apps()
    doubles = app.register(double)
    async with app:
        with pytest.raises(TypeError, match="missing a required argument: 'n'"):
            await loose(doubles).run("a")
        assert count_rows(app, "flows") == 0


async def test_a_second_run_waits_for_the_first_and_gets_its_result(apps: Apps) -> None:
    gate, runs = Gate(), []

    @flow
    async def held(n: int) -> int:
        runs.append(n)
        await gate.pass_through()
        return n

    app = apps()
    flows = app.register(held)
    async with app:
        first = asyncio.create_task(flows.run("a", 1))
        await gate.reached()
        second = asyncio.create_task(flows.run("a", 1))
        gate.open()
        assert await first == 1
        assert await second == 1
    assert runs == [1]


async def test_other_arguments_for_an_existing_id_are_ignored_with_a_warning(apps: Apps) -> None:
    app = apps()
    doubles = app.register(double)
    async with app:
        assert await doubles.run("a", 1) == 2
        with pytest.warns(ParamIgnored, match="'a' exists with other arguments"):
            assert await doubles.run("a", 100) == 2


async def test_a_strict_handle_raises_when_arguments_would_be_ignored(apps: Apps) -> None:
    app = apps()
    doubles = app.register(double)
    async with app:
        assert await doubles.run("a", 1) == 2
        with pytest.raises(ParamIgnored):
            await doubles.options(strict=True).run("a", 100)
        assert await doubles.options(strict=True).run("a", 1) == 2


async def test_a_second_run_of_a_suspended_flow_waits_with_it(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps(suspend_after=AT_ONCE)
    flows = app.register(wait_for_text)
    async with app:
        await flows.schedule("a", "x")
        await clock.settle()
        assert (await row(app, "wait_for_text", "a")).owner is None
        second = asyncio.create_task(flows.run("a", "x"))
        await clock.settle()
        assert not second.done()
        await flows.send_message("a", "y")
        assert await second == "xy"


async def test_a_second_run_of_a_failed_flow_raises_its_error_and_runs_nothing(apps: Apps) -> None:
    app = apps()
    fails = app.register(fail)
    async with app:
        for _ in range(2):
            with pytest.raises(FlowFailed, match="flow 'a' failed: LookupError: gone"):
                await fails.run("a", "gone")
        assert (await row(app, "fail", "a")).incarnation == 1


async def test_a_failure_tells_type_message_and_where(apps: Apps) -> None:
    app = apps()
    fails = app.register(fail)
    async with app:
        with pytest.raises(FlowFailed) as caught:
            await fails.run("a", "gone")
    error = caught.value
    assert (error.flow_id, error.error.type, error.error.message) == ("a", "LookupError", "gone")
    assert "raise LookupError(text)" in error.error.traceback
    assert isinstance(error.__cause__, LookupError)


async def test_schedule_returns_once_the_row_is_stored(apps: Apps) -> None:
    gate = Gate()

    @flow
    async def held() -> str:
        await gate.pass_through()
        return "ran"

    app = apps()
    flows = app.register(held)
    async with app:
        scheduled = await flows.schedule("a")
        assert (await row(app, "held", "a")).status is Status.LIVE
        gate.open()
        assert await scheduled.completion() == "ran"


async def test_a_flow_knows_its_id_and_type_also_after_a_suspension(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[tuple[str, str, int]] = []

    def look() -> None:
        seen.append((current_flow().type, current_flow().id, current_flow().incarnation))

    @flow(name="Curious")
    async def curious() -> None:
        look()
        await sleep(HOUR)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(curious)
    async with app:
        await flows.schedule("id 7")
        await clock.advance(HOUR)
        assert await flows.completion("id 7") is None
    assert seen == [("Curious", "id 7", 1), ("Curious", "id 7", 2)]


def test_there_is_no_current_flow_outside_of_one() -> None:
    with pytest.raises(NotInFlow, match="works only inside a running flow"):
        current_flow()


async def test_a_running_flow_has_an_owner_and_an_ended_one_has_none(apps: Apps) -> None:
    gate = Gate()

    @flow
    async def held(ending: str) -> None:
        if ending == "done":
            await gate.pass_through()
        elif ending == "failed":
            raise ValueError(ending)
        elif ending == "postponed":
            await postpone(HOUR)
        else:
            await suspend()

    app = apps()
    flows = app.register(held)
    async with app:
        scheduled = await flows.schedule("done", "done")
        await gate.reached()
        assert (await row(app, "held", "done")).owner is not None
        gate.open()
        await scheduled.completion()
        for ending in ("failed", "postponed", "suspended"):
            await flows.schedule(ending, ending)
        await apps.clock.settle()
        rows = {info.id: (info.status, info.owner) for info in await flows.list()}
    assert rows == {
        "done": (Status.DONE, None),
        "failed": (Status.FAILED, None),
        "postponed": (Status.LIVE, None),
        "suspended": (Status.LIVE, None),
    }


async def test_a_first_incarnation_reads_nothing_from_the_store(
    apps: Apps, monkeypatch: pytest.MonkeyPatch
) -> None:
    @flow
    async def three() -> int:
        return sum([await capture(f"e{n}", lambda: 1) for n in range(3)])

    app = apps()
    flows = app.register(three)
    read: list[str] = []
    async with app:
        await apps.clock.settle()
        for name in ("load", "find", "poll", "read_inbox", "owned", "view"):
            original = getattr(app._store, name)

            async def spy(*args: object, original=original, name=name) -> object:
                read.append(name)
                return await original(*args)

            monkeypatch.setattr(app._store, name, spy)
        assert await flows.run("a") == 3
        monkeypatch.undo()
    assert read == []


async def test_completion_of_an_unknown_id_says_so(apps: Apps) -> None:
    app = apps()
    doubles = app.register(double)
    async with app:
        with pytest.raises(FlowNotFound, match="no flow 'double' has the id 'nobody'"):
            await doubles.completion("nobody")


async def test_waiting_for_a_result_may_be_limited_and_leaves_the_flow_alone(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    flows = app.register(wait_for_text)
    async with app:
        scheduled = await flows.schedule("a", "x")
        waiting = asyncio.create_task(scheduled.completion(timeout=HOUR))
        other = asyncio.create_task(flows.completion("a", timeout=HOUR))
        await clock.advance(HOUR)
        for one in (waiting, other):
            with pytest.raises(TimeoutError, match="'a' did not end within"):
                await one
        await flows.send_message("a", "y")
        assert await scheduled.completion(timeout=HOUR) == "xy"


async def test_a_caller_that_gives_up_does_not_cancel_the_flow(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    flows = app.register(wait_for_text)
    async with app:
        caller = asyncio.create_task(flows.run("a", "x"))
        await clock.settle()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await flows.send_message("a", "y")
        assert await flows.completion("a") == "xy"


async def test_each_caller_gets_a_result_of_its_own(apps: Apps) -> None:
    @flow
    async def numbers() -> list[int]:
        return [1, 2]

    app = apps()
    flows = app.register(numbers)
    async with app:
        first = await flows.run("a")
        first.append(3)
        assert await flows.run("a") == [1, 2]


async def test_flows_of_two_types_may_share_an_id(apps: Apps) -> None:
    app = apps()
    doubles, nothings = app.register(double), app.register(nothing)
    async with app:
        assert await doubles.run("same", 2) == 4
        assert await nothings.run("same") is None
        assert await doubles.completion("same") == 4
