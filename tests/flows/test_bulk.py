"""Many flows at once: bulks, lists, and starts for later."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.flows.apps import Apps, count_rows, row
from unbroken import FlowFailed, Status, flow, message
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)


@flow
async def double(n: int) -> int:
    return n * 2


@flow
async def fail(text: str) -> None:
    raise LookupError(text)


async def test_a_flow_scheduled_for_later_runs_then_and_not_before(
    apps: Apps, clock: VirtualClock
) -> None:
    began: list[str] = []

    @flow
    async def begin(name: str) -> None:
        began.append(name)

    app = apps()
    flows = app.register(begin)
    async with app:
        await flows.schedule_in("in", HOUR, "in")
        await flows.schedule_at("at", datetime(2030, 1, 1, 2, tzinfo=UTC), "at")
        await clock.advance(HOUR - timedelta(microseconds=1))
        assert began == []
        await clock.advance(timedelta(microseconds=1))
        assert began == ["in"]
        await clock.advance(HOUR)
        assert began == ["in", "at"]


async def test_a_flow_scheduled_for_the_past_runs_now(apps: Apps, clock: VirtualClock) -> None:
    app = apps()
    doubles = app.register(double)
    async with app:
        past = await doubles.schedule_at("a", datetime(2020, 1, 1, tzinfo=UTC), 1)
        negative = await doubles.schedule_in("b", -HOUR, 2)
        assert (await past.completion(), await negative.completion()) == (2, 4)


async def test_what_was_due_before_an_app_started_runs_at_its_start(shared: Apps) -> None:
    client = shared(execute=False)
    doubles = client.register(double)
    async with client:
        await doubles.schedule("a", 4)

    app = shared()
    doubles = app.register(double)
    async with app:
        await shared.clock.settle()
        assert (await row(app, "double", "a")).status is Status.DONE
        assert await doubles.completion("a") == 8


async def test_a_bulk_stores_all_and_counts_only_what_is_new(apps: Apps) -> None:
    app = apps()
    doubles = app.register(double)
    async with app:
        await doubles.run("3", 3)
        created = await doubles.bulk_schedule(doubles.prepare(str(n), n) for n in range(2500))
        assert created == 2499
        assert await doubles.completion("2499") == 4998
        assert await doubles.bulk_schedule(doubles.prepare(str(n), n) for n in range(2500)) == 0
        assert count_rows(app, "flows") == 2500


async def test_an_empty_bulk_is_zero(apps: Apps) -> None:
    app = apps()
    doubles = app.register(double)
    async with app:
        assert await doubles.bulk_schedule([]) == 0


async def test_a_bulk_runs_all_of_its_flows(apps: Apps, clock: VirtualClock) -> None:
    app = apps(concurrency=7)
    doubles = app.register(double)
    async with app:
        await doubles.bulk_schedule(doubles.prepare(str(n), n) for n in range(300))
        await clock.settle()
        assert len(await doubles.list(Status.DONE, limit=1000)) == 300


async def test_a_list_pages_in_order_of_creation_and_filters_by_status(apps: Apps) -> None:
    app = apps()
    doubles, fails = app.register(double), app.register(fail)
    async with app:
        for n in range(5):
            await doubles.run(str(n), n)
        with pytest.raises(FlowFailed):
            await fails.run("f", "gone")
        first = await doubles.list(limit=2)
        assert [info.id for info in first] == ["0", "1"]
        rest = await doubles.list(after=first[-1].number)
        assert [info.id for info in rest] == ["2", "3", "4"]
        assert await doubles.list(Status.FAILED) == []
        assert [info.id for info in await fails.list(Status.FAILED, Status.PARKED)] == ["f"]


async def test_a_message_does_not_begin_a_flow_before_its_time(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def later() -> str:
        return f"{await message(str)} at {clock.monotonic():.0f}"

    app = apps()
    flows = app.register(later)
    async with app:
        await flows.schedule_in("a", timedelta(hours=1))
        await flows.send_message("a", "early")
        await clock.advance(timedelta(hours=2))
        assert await flows.completion("a") == "early at 3600"
