"""Calls that make no sense: a named error that says what to write instead."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.flows.apps import Apps, count_rows, loose, row, stored_effects
from unbroken import (
    FlowFailed,
    ForgottenAwait,
    GeneratorRefused,
    NotInFlow,
    Status,
    UsageError,
    capture,
    flow,
    gather,
    message,
    now,
    postpone,
    sleep,
    sleep_until,
    suspend,
)

HOUR = timedelta(hours=1)


@flow
async def double(n: int) -> int:
    return n * 2


def yielding(n: int) -> Iterator[int]:
    yield n


async def yielding_later(n: int) -> AsyncIterator[int]:
    yield n


@pytest.mark.parametrize("work", [yielding, yielding_later])
async def test_a_generator_function_is_refused_before_its_body_runs(apps: Apps, work: Any) -> None:
    @flow
    async def capturing() -> None:
        await capture(work, 1)

    app = apps()
    flows = app.register(capturing)
    async with app:
        with pytest.raises(FlowFailed, match="return a list, or use for_each") as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, GeneratorRefused)
        assert stored_effects(app, "a") == {}


@pytest.mark.parametrize("work", [yielding, yielding_later])
async def test_a_result_that_is_a_generator_is_refused_after_the_body_ran(
    apps: Apps, work: Any
) -> None:
    def give() -> object:
        return work(1)

    @flow
    async def capturing() -> None:
        await capture(give)

    app = apps()
    flows = app.register(capturing)
    async with app:
        with pytest.raises(FlowFailed, match="return a list"):
            await flows.run("a")


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (lambda: loose(capture)(7), r"write capture\(fetch, url\), not capture\(fetch\(url\)\)"),
        (lambda: loose(capture)("name"), "the second argument must be a function"),
        (lambda: loose(capture)("name", 7), "the second argument must be a function"),
        (lambda: loose(sleep)(5), r"write sleep\(timedelta\(seconds=5\)\)"),
        (lambda: loose(postpone)(5), "takes a timedelta"),
        (loose(message), "takes classes"),
        (lambda: loose(message)("text"), "takes classes"),
        (lambda: loose(message)(int | str), r"for A \| B write message\(A, B\)"),
        (lambda: loose(message)(str, timeout=5), "timeout must be a timedelta"),
        (
            lambda: loose(message)(str, timeout=HOUR, until=datetime(2031, 1, 1, tzinfo=UTC)),
            "not both",
        ),
    ],
)
async def test_a_call_that_makes_no_sense_is_refused_with_advice(
    apps: Apps, wrong: Any, advice: str
) -> None:
    @flow
    async def calling() -> None:
        await wrong()

    app = apps()
    flows = app.register(calling)
    async with app:
        with pytest.raises(FlowFailed, match=advice) as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, TypeError)
        assert stored_effects(app, "a") == {}


NAIVE = datetime(2031, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize("wait", [lambda: sleep_until(NAIVE), lambda: message(str, until=NAIVE)])
async def test_a_moment_without_a_time_zone_is_refused(apps: Apps, wait: Any) -> None:
    @flow
    async def waiting() -> None:
        await wait()

    app = apps()
    flows = app.register(waiting)
    async with app:
        with pytest.raises(FlowFailed, match="has no time zone, so it names no instant") as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, UsageError)


async def test_a_schedule_without_a_time_zone_is_refused(apps: Apps) -> None:
    app = apps()
    flows = app.register(double)
    async with app:
        with pytest.raises(UsageError, match="has no time zone"):
            await flows.schedule_at("a", NAIVE, 1)
        with pytest.raises(TypeError, match="the delay is a timedelta"):
            await loose(flows).schedule_in("a", 5, 1)
        assert count_rows(app, "flows") == 0


async def test_a_naive_moment_is_fine_as_data(apps: Apps) -> None:
    @flow
    async def give() -> datetime:
        return await capture("naive", lambda: NAIVE)

    app = apps()
    flows = app.register(give)
    async with app:
        assert await flows.run("a") == NAIVE


@pytest.mark.parametrize(
    "wait",
    [
        lambda: message(str),
        lambda: sleep(HOUR),
        lambda: sleep_until(datetime(2031, 1, 1, tzinfo=UTC)),
        lambda: postpone(HOUR),
        suspend,
        now,
        gather,
    ],
    ids=["message", "sleep", "sleep_until", "postpone", "suspend", "now", "gather"],
)
@pytest.mark.parametrize("place", ["in a body", "outside"])
async def test_a_wait_works_only_in_a_flow_itself(apps: Apps, wait: Any, place: str) -> None:
    async def body() -> None:
        await wait()

    @flow
    async def capturing() -> None:
        await capture(body)

    if place == "outside":
        with pytest.raises(NotInFlow, match="only inside a running flow"):
            await wait()
        return
    app = apps()
    flows = app.register(capturing)
    async with app:
        with pytest.raises(FlowFailed, match="inside the captured body 'body'") as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, NotInFlow)
        assert (await row(app, "capturing", "a")).status is Status.FAILED


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
async def test_a_forgotten_await_is_named_at_the_flows_end(apps: Apps) -> None:
    @flow
    async def forgetful() -> str:
        loose(capture)("pay", lambda: 1)
        loose(sleep)(HOUR)
        loose(message)(str)
        loose(gather)()
        return "done"

    app = apps()
    flows = app.register(forgetful)
    async with app:
        with pytest.raises(FlowFailed) as caught:
            await flows.run("a")
    assert isinstance(caught.value.__cause__, ForgottenAwait)
    for key in ("pay", "sleep", "message:str", "gather"):
        assert repr(key) in str(caught.value)
