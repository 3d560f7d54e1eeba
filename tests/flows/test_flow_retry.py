"""Flows that run again when they fail, as they declare."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import (
    AT_ONCE,
    Apps,
    Gate,
    count_rows,
    events_of,
    loose,
    names_of,
    row,
    stored_effects,
)
from unbroken import (
    EffectInterrupted,
    FlowCancelled,
    FlowFailed,
    RegistrationError,
    Retry,
    Status,
    capture,
    current_flow,
    effect,
    flow,
    gather,
    message,
    sleep,
)
from unbroken.model.clock import moment_of
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
AGAIN = Retry(3, initial_delay=MINUTE, backoff=1, jitter=0)


class Busy(Exception):
    pass


class Ran:
    """What ran outside, and bodies that fail so many times before they succeed."""

    def __init__(self, failures: int = 1) -> None:
        self.bodies: list[str] = []
        self.runs = 0
        self._failures = failures

    async def body(self, name: str) -> str:
        self.bodies.append(name)
        return name

    async def flaky(self) -> str:
        self.bodies.append("flaky")
        if self.bodies.count("flaky") <= self._failures:
            raise Busy(f"number {self.bodies.count('flaky')}")
        return "flaky"

    def plain(self) -> None:
        """Fail in the flow's own code, outside of any effect."""
        self.runs += 1
        if self.runs <= self._failures:
            raise Busy(f"run {self.runs}")


def retried(code: Callable[..., Any], retry: Retry = AGAIN, **options: Any) -> Any:
    return flow(name="retried", retry=retry, **options)(code)


async def test_a_failed_flow_runs_again_and_ends_well(apps: Apps, clock: VirtualClock) -> None:
    ran = Ran(failures=2)

    async def code() -> list[str]:
        first = await capture("first", ran.body, "first")
        second = await capture("second", ran.flaky)
        return [first, second, await capture("third", ran.body, "third")]

    app = apps()
    flows = app.register(retried(code))
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(2 * MINUTE)
        assert await scheduled.completion() == ["first", "flaky", "third"]
    # What is recorded is not run again; what failed is.
    assert ran.bodies == ["first", "flaky", "flaky", "flaky", "third"]


async def test_it_waits_as_declared_and_its_error_is_seen_meanwhile(
    apps: Apps, clock: VirtualClock
) -> None:
    ran = Ran(failures=2)

    async def code() -> str:
        return await capture("second", ran.flaky)

    app = apps()
    events = events_of(app)
    flows = app.register(retried(code, Retry(3, initial_delay=MINUTE, backoff=2, jitter=0)))
    async with app:
        await flows.schedule("a")
        for number, delay in ((1, MINUTE), (2, 2 * MINUTE)):
            await clock.settle()
            panel = await flows.control_panel("a")
            assert panel is not None
            assert (panel.status, panel.failures, panel.owner) == (Status.LIVE, number, None)
            assert panel.error is not None
            assert panel.error.message == f"number {number}"
            assert panel.due_at is not None
            assert panel.due_at - moment_of(clock.now()) == delay
            await clock.advance(delay - SECOND)
            assert len(ran.bodies) == number
            await clock.advance(SECOND)
        panel = await flows.control_panel("a")
        assert panel is not None
        assert (panel.status, panel.error, panel.result) == (Status.DONE, None, "flaky")
    assert names_of(events).count("flow.retried") == 2


async def test_the_error_may_choose_the_delay(apps: Apps, clock: VirtualClock) -> None:
    ran = Ran()

    async def code() -> str:
        return await capture("second", ran.flaky)

    def delay(error: Exception, attempt: int) -> timedelta:
        assert (type(error), str(error), attempt) == (Busy, "number 1", 1)
        return HOUR

    app = apps()
    flows = app.register(retried(code, Retry(3, initial_delay=SECOND, delay=delay)))
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(HOUR - SECOND)
        assert ran.bodies == ["flaky"]
        await clock.advance(2 * SECOND)
        assert await scheduled.completion() == "flaky"


async def test_exhausted_it_fails_with_the_last_error(apps: Apps, clock: VirtualClock) -> None:
    ran = Ran(failures=9)

    async def code() -> str:
        return await capture("second", ran.flaky)

    app = apps()
    flows = app.register(retried(code))
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(HOUR)
        with pytest.raises(FlowFailed, match="number 3"):
            await scheduled.completion()
        assert (await row(app, "retried", "a")).failures == 2
    assert ran.bodies == ["flaky"] * 3


async def test_an_error_that_is_not_to_be_tried_again_fails_at_once(apps: Apps) -> None:
    ran = Ran(failures=9)

    async def code() -> str:
        return await capture("second", ran.flaky)

    app = apps()
    flows = app.register(retried(code, Retry(3, retry_if=LookupError)))
    async with app:
        with pytest.raises(FlowFailed, match="number 1"):
            await flows.run("a")
    assert ran.bodies == ["flaky"]


async def test_the_count_survives_another_process(shared: Apps, clock: VirtualClock) -> None:
    ran = Ran(failures=9)

    async def code() -> str:
        return await capture("second", ran.flaky)

    definition = retried(code)
    for _ in range(3):
        app = shared()
        flows = app.register(definition)
        async with app:
            await flows.schedule("a")
            await clock.advance(MINUTE - SECOND)
        await clock.advance(2 * SECOND)
    assert ran.bodies == ["flaky"] * 3
    app = shared()
    flows = app.register(definition)
    async with app:
        with pytest.raises(FlowFailed, match="number 3"):
            await flows.completion("a")


# which effects are forgotten


async def test_an_error_of_plain_code_forgets_nothing(apps: Apps, clock: VirtualClock) -> None:
    ran = Ran()

    async def code() -> str:
        first = await capture("first", ran.body, "first")
        ran.plain()
        return first

    app = apps()
    flows = app.register(retried(code))
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(MINUTE)
        assert await scheduled.completion() == "first"
    assert (ran.bodies, ran.runs) == (["first"], 2)


async def test_an_earlier_failure_that_was_handled_stays_recorded(
    apps: Apps, clock: VirtualClock
) -> None:
    ran = Ran(failures=2)

    async def code() -> list[str]:
        try:
            first = await capture("handled", ran.flaky)
        except Busy as error:
            first = str(error)
        return [first, await capture("second", ran.flaky)]

    app = apps()
    flows = app.register(retried(code))
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(MINUTE)
        assert await scheduled.completion() == ["number 1", "flaky"]


@pytest.mark.parametrize("way", ["from", "beside", "group", "group of groups"])
async def test_the_effect_is_found_behind_another_error(
    apps: Apps, clock: VirtualClock, way: str
) -> None:
    ran = Ran()

    async def code() -> str:
        try:
            return await capture("second", ran.flaky)
        except Busy as error:
            match way:
                case "from":
                    raise LookupError("order") from error
                case "beside":
                    raise LookupError("order")  # noqa: B904 - what people write
                case "group":
                    raise ExceptionGroup("many", [ValueError("x"), error]) from None
                case _:
                    inner = ExceptionGroup("inner", [error])
                    raise ExceptionGroup("outer", [inner]) from None

    app = apps()
    flows = app.register(retried(code))
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(MINUTE)
        assert await scheduled.completion() == "flaky"
    assert ran.bodies == ["flaky", "flaky"]


async def test_an_error_that_hides_its_cause_is_one_of_plain_code(
    apps: Apps, clock: VirtualClock
) -> None:
    ran = Ran()

    async def code() -> str:
        try:
            return await capture("second", ran.flaky)
        except Busy:
            raise LookupError("order") from None

    app = apps()
    flows = app.register(retried(code))
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(HOUR)
        with pytest.raises(FlowFailed, match="order"):
            await scheduled.completion()
    assert ran.bodies == ["flaky"]


async def test_a_failed_body_with_effects_inside_runs_again_as_a_whole(
    apps: Apps, clock: VirtualClock
) -> None:
    ran = Ran()

    async def outer() -> str:
        return await capture("inner", ran.body, "inner") + await capture("flaky", ran.flaky)

    async def code() -> str:
        return await capture("outer", outer)

    app = apps()
    flows = app.register(retried(code))
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(MINUTE)
        assert await scheduled.completion() == "innerflaky"
        assert list(stored_effects(app, "a")) == ["outer"]
    assert ran.bodies == ["inner", "flaky", "inner", "flaky"]


# side by side


async def test_a_branch_that_failed_runs_again_and_its_siblings_go_on(
    apps: Apps, clock: VirtualClock
) -> None:
    ran, gate = Ran(), Gate()

    async def slow() -> str:
        ran.bodies.append("slow")
        if ran.bodies.count("slow") == 1:
            await gate.pass_through()
        return "slow"

    async def fails() -> str:
        if not ran.bodies.count("flaky"):
            await gate.reached()
        return await ran.flaky()

    async def code() -> Any:
        return await gather(
            capture("fails", fails), capture("slow", slow), capture("quick", ran.body, "quick")
        )

    app = apps()
    flows = app.register(retried(code))
    async with app:
        scheduled = await flows.schedule("a")
        await clock.settle()
        # The sibling was cut by the failure; cut, it would wait for a cancel that never comes.
        assert (await row(app, "retried", "a")).failures == 1
        await clock.advance(MINUTE)
        assert await scheduled.completion() == ("flaky", "slow", "quick")
    assert sorted(ran.bodies) == ["flaky", "flaky", "quick", "slow", "slow"]


async def test_a_task_group_whose_task_failed_runs_again(apps: Apps, clock: VirtualClock) -> None:
    ran = Ran()

    async def code() -> list[str]:
        async with asyncio.TaskGroup() as group:
            one = group.create_task(capture("flaky", ran.flaky))
            other = group.create_task(message(str))
        return [one.result(), other.result()]

    app = apps()
    flows = app.register(retried(code))
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(MINUTE)
        await flows.send_message("a", "hello")
        assert await scheduled.completion() == ["flaky", "hello"]


async def test_plain_code_that_fails_in_a_branch_does_not_hold_up_the_next_run(
    apps: Apps, clock: VirtualClock
) -> None:
    ran = Ran()

    async def fails() -> str:
        await capture("a", ran.body, "a")
        ran.plain()
        return "ran"

    async def code() -> Any:
        return await gather(fails(), message(str))

    app = apps()
    flows = app.register(retried(code))
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(MINUTE)
        await flows.send_message("a", "hello")
        assert await scheduled.completion() == ("ran", "hello")
    assert ran.bodies == ["a"]


# what is not tried again


async def test_an_at_most_once_effect_that_failed_is_not_begun_again(apps: Apps) -> None:
    ran = Ran(failures=9)

    async def code() -> str:
        return await capture("once", effect(ran.flaky, at_most_once=True))

    app = apps()
    flows = app.register(retried(code))
    async with app:
        with pytest.raises(FlowFailed, match="number 1"):
            await flows.run("a")
        assert (await row(app, "retried", "a")).failures == 0
    assert ran.bodies == ["flaky"]


async def test_an_at_most_once_effect_inside_a_failed_body_is_not_begun_again(apps: Apps) -> None:
    ran = Ran(failures=9)

    async def outer() -> str:
        await capture("once", effect(ran.body, at_most_once=True), "once")
        return await ran.flaky()

    async def code() -> str:
        return await capture("outer", outer)

    app = apps()
    flows = app.register(retried(code))
    async with app:
        with pytest.raises(FlowFailed, match="number 1"):
            await flows.run("a")
        panel = await flows.control_panel("a")
        assert panel is not None
        with pytest.raises(FlowFailed, match="number 1"):
            await (await panel.restart()).completion()
    assert ran.bodies == ["once", "flaky"]


async def test_an_interrupted_effect_fails_the_flow_at_once(
    shared: Apps, clock: VirtualClock
) -> None:
    gate = Gate()

    async def code() -> None:
        await capture("once", effect(gate.pass_through, at_most_once=True))

    definition = retried(code)
    _, flows = await shared.hang(definition)
    await flows.schedule("a")
    await gate.reached()
    app = shared()
    flows = app.register(definition)
    async with app:
        await clock.advance(HOUR)
        with pytest.raises(FlowFailed) as failure:
            await flows.completion("a")
        assert failure.value.error.type.endswith(EffectInterrupted.__name__)
        assert (await row(app, "retried", "a")).failures == 0


async def test_a_cancel_while_it_waits_for_its_next_run_cancels_it(
    apps: Apps, clock: VirtualClock
) -> None:
    ran = Ran(failures=9)

    async def code() -> str:
        try:
            return await capture("second", ran.flaky)
        except FlowCancelled:
            await capture("undo", ran.body, "undo")
            raise

    app = apps()
    flows = app.register(retried(code))
    async with app:
        scheduled = await flows.schedule("a")
        await clock.settle()
        await flows.cancel("a")
        await clock.settle()
        with pytest.raises(FlowCancelled):
            await scheduled.completion()
        assert (await row(app, "retried", "a")).status is Status.CANCELLED
    assert ran.bodies == ["flaky", "undo"]


async def test_a_message_does_not_cut_the_pause_short(apps: Apps, clock: VirtualClock) -> None:
    ran = Ran()

    async def code() -> str:
        await capture("second", ran.flaky)
        return await message(str)

    app = apps()
    flows = app.register(retried(code))
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.send_message("a", "early")
        await clock.advance(MINUTE - SECOND)
        assert ran.bodies == ["flaky"]
        await clock.advance(2 * SECOND)
        assert await flows.completion("a") == "early"


async def test_a_rule_that_fails_itself_fails_the_flow(apps: Apps) -> None:
    ran = Ran()

    async def code() -> str:
        return await capture("second", ran.flaky)

    def rule(error: Exception) -> bool:
        raise ZeroDivisionError("the rule")

    app = apps()
    flows = app.register(retried(code, Retry(3, retry_if=rule)))
    async with app:
        with pytest.raises(FlowFailed, match="ZeroDivisionError: the rule"):
            await flows.run("a")


@pytest.mark.parametrize("retry", [3, "often", Retry, timedelta(1)], ids=repr)
def test_what_is_no_retry_is_refused(retry: Any) -> None:
    async def code() -> None: ...

    with pytest.raises(RegistrationError, match=r"give a Retry\(…\)"):
        flow(retry=loose(retry))(code)


# those who wait for it


async def test_callers_here_and_elsewhere_wait_for_the_final_outcome(
    shared: Apps, clock: VirtualClock
) -> None:
    ran = Ran(failures=2)

    async def code() -> str:
        return await capture("second", ran.flaky)

    definition = retried(code)
    here, client = shared(), shared(execute=False)
    flows, from_client = here.register(definition), client.register(definition)
    async with here, client:
        callers = [asyncio.create_task(flows.run("a")), asyncio.create_task(from_client.run("a"))]
        await clock.advance(MINUTE)
        assert not any(caller.done() for caller in callers)
        await clock.advance(HOUR)
        assert await asyncio.gather(*callers) == ["flaky", "flaky"]


async def test_a_parent_is_told_of_the_final_outcome_alone(apps: Apps, clock: VirtualClock) -> None:
    ran = Ran(failures=9)

    async def code() -> str:
        return await capture("second", ran.flaky)

    child = retried(code)

    @flow
    async def parent() -> str:
        try:
            return await child.run("c")
        except FlowFailed as error:
            return error.error.message

    app = apps(suspend_after=AT_ONCE)
    parents, _ = app.register(parent), app.register(child)
    async with app:
        scheduled = await parents.schedule("p")
        await clock.advance(MINUTE)
        assert (await row(app, "parent", "p")).status is Status.LIVE
        assert count_rows(app, "messages") == 0
        await clock.advance(HOUR)
        assert await scheduled.completion() == "number 3"


async def test_a_retried_parent_asks_for_its_failed_child_again(
    apps: Apps, clock: VirtualClock
) -> None:
    ran = Ran()

    @flow
    async def child() -> str:
        return await capture("second", ran.flaky)

    async def code() -> str:
        return await child.run("c")

    app = apps()
    parents, children = app.register(retried(code)), app.register(child)
    async with app:
        scheduled = await parents.schedule("p")
        await clock.settle()
        # It stays failed until it is restarted itself; then the parent's next run gets the new end.
        await clock.advance(MINUTE)
        assert (await row(app, "retried", "p")).failures == 2
        panel = await children.control_panel("c")
        assert panel is not None
        await panel.restart()
        await clock.advance(MINUTE)
        assert await scheduled.completion() == "flaky"
    assert ran.bodies == ["flaky", "flaky"]


async def test_the_time_limit_of_a_flow_counts_through_its_retries(
    apps: Apps, clock: VirtualClock
) -> None:
    ran = Ran(failures=99)

    async def code() -> str:
        return await capture("second", ran.flaky)

    app = apps()
    flows = app.register(retried(code, Retry(99, initial_delay=MINUTE, backoff=1), timeout=HOUR))
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(2 * HOUR)
        with pytest.raises(FlowCancelled):
            await scheduled.completion()
        assert 50 < len(ran.bodies) < 70


async def test_a_pause_ends_with_the_time_of_the_flow(apps: Apps, clock: VirtualClock) -> None:
    ran = Ran(failures=99)

    async def code() -> str:
        return await capture("second", ran.flaky)

    rule = Retry(99, initial_delay=100 * HOUR, max_delay=100 * HOUR)
    app = apps()
    flows = app.register(retried(code, rule, timeout=HOUR))
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(HOUR + SECOND)
        with pytest.raises(FlowCancelled):
            await scheduled.completion()
    assert ran.bodies == ["flaky"]


async def test_a_flow_that_waits_for_its_next_run_knows_its_incarnation(
    apps: Apps, clock: VirtualClock
) -> None:
    ran = Ran()

    async def code() -> int:
        await sleep(SECOND)
        ran.plain()
        return current_flow().incarnation

    app = apps()
    flows = app.register(retried(code))
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(HOUR)
        assert await scheduled.completion() == 2
