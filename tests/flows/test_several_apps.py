"""Several apps on one store: spreading, results and messages across them, retention."""

import asyncio
import warnings
from datetime import timedelta

import pytest

from tests.flows.apps import AT_ONCE, Apps, Gate, count_rows, row
from unbroken import (
    Delivery,
    FlowFailed,
    ParamIgnored,
    Status,
    Unbroken,
    current_flow,
    flow,
    message,
    sleep,
)
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
NEVER = timedelta(days=10_000)


@flow
async def who_ran() -> int:
    return current_flow().incarnation


@flow
async def wait_for_text() -> str:
    return await message(str)


@flow
async def fail() -> None:
    raise LookupError("gone")


async def test_a_replica_is_in_the_store_while_its_app_runs(shared: Apps) -> None:
    app = shared()
    app.register(who_ran)
    async with app:
        assert count_rows(app, "replicas") == 1
        other = shared()
        async with other:
            assert count_rows(app, "replicas") == 2
        assert count_rows(app, "replicas") == 1


async def test_work_spreads_over_the_apps_that_have_room(shared: Apps) -> None:
    gates = {"a": Gate(), "b": Gate()}

    @flow
    async def held(name: str) -> str:
        await gates[name].pass_through()
        return name

    first, second = shared(concurrency=1, lease=NEVER), shared(concurrency=1, lease=NEVER)
    flows = first.register(held)
    second.register(held)
    await first.start()
    await second.start()
    await flows.bulk_schedule(flows.prepare(name, name) for name in gates)
    clock = shared.clock
    reached = asyncio.gather(*(gate.reached() for gate in gates.values()))
    while not reached.done():
        _tick(clock)
        await asyncio.to_thread(lambda: None)
    owners = {info.owner for info in await flows.list()}
    assert len(owners) == 2
    assert None not in owners
    for gate in gates.values():
        gate.open()


def _tick(clock: VirtualClock) -> None:
    """Let housekeeping look again, without waiting for flows that stand at a gate."""
    clock._elapsed += 1
    while clock._timers and clock._timers[0].when <= clock._elapsed:
        timer = clock._timers.pop(0)
        if not timer.cancelled:
            timer.cancelled = True
            timer.callback()
    clock._timers.sort()


async def test_a_result_reaches_a_waiter_in_another_app(shared: Apps) -> None:
    app, client = shared(lease=NEVER), shared(execute=False, lease=NEVER)
    flows, client_flows = app.register(wait_for_text), client.register(wait_for_text)
    async with app, client:
        await flows.schedule("a")
        waiting = asyncio.create_task(client_flows.completion("a"))
        await shared.clock.settle()
        await flows.send_message("a", "done")
        await shared.clock.advance(SECOND)
        assert waiting.done()
        assert await waiting == "done"


async def test_a_failure_reaches_a_waiter_in_another_app_as_the_same_class(shared: Apps) -> None:
    app, client = shared(lease=NEVER), shared(execute=False, lease=NEVER)
    app.register(fail)
    client_flows = client.register(fail)
    async with app, client:
        waiting = asyncio.create_task(client_flows.run("a"))
        while not waiting.done():
            await shared.clock.advance(SECOND)
        with pytest.raises(FlowFailed, match="LookupError: gone") as caught:
            await waiting
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_a_message_reaches_a_flow_in_another_app(
    shared: Apps, suspend_after: timedelta
) -> None:
    app, client = shared(suspend_after=suspend_after, lease=NEVER), shared(execute=False)
    flows, client_flows = app.register(wait_for_text), client.register(wait_for_text)
    async with app, client:
        scheduled = await flows.schedule("a")
        await shared.clock.settle()
        assert await client_flows.send_message("a", "hello") is Delivery.ACCEPTED
        await shared.clock.advance(SECOND)
        assert await scheduled.completion() == "hello"


async def test_a_message_read_twice_is_delivered_once(shared: Apps) -> None:
    @flow
    async def number_first() -> list[str]:
        count = await message(int)
        return [await message(str) for _ in range(count)]

    app, client = shared(suspend_after=HOUR, lease=NEVER), shared(execute=False)
    flows, client_flows = app.register(number_first), client.register(number_first)
    async with app, client:
        scheduled = await flows.schedule("a")
        await shared.clock.settle()
        for text in "123":
            await client_flows.send_message("a", text)
            await shared.clock.advance(10 * SECOND)
        await flows.send_message("a", 3)
        assert await scheduled.completion() == ["1", "2", "3"]


async def test_a_client_starts_flows_and_runs_none(shared: Apps) -> None:
    client = shared(execute=False)
    flows = client.register(who_ran)
    async with client:
        await flows.schedule("a")
        await shared.clock.advance(HOUR)
        assert (await row(client, "who_ran", "a")).status is Status.LIVE
        assert await flows.bulk_schedule([flows.prepare("b")]) == 1
        await shared.clock.advance(HOUR)
        assert {info.owner for info in await flows.list()} == {None}


async def test_an_app_claims_only_types_that_it_knows(shared: Apps) -> None:
    client = shared(execute=False)
    flows = client.register(who_ran)
    async with client:
        await flows.schedule("a")
    stranger = shared()
    stranger.register(fail)
    async with stranger:
        await shared.clock.advance(HOUR)
        assert (await row(stranger, "who_ran", "a")).incarnation == 0
    app = shared()
    flows = app.register(who_ran)
    async with app:
        assert await flows.completion("a") == 1


async def test_a_failed_flow_is_never_picked_up_again(shared: Apps) -> None:
    app = shared()
    flows = app.register(fail)
    async with app:
        with pytest.raises(FlowFailed):
            await flows.run("a")
    other = shared()
    flows = other.register(fail)
    async with other:
        await shared.clock.advance(24 * HOUR)
        view = await row(other, "fail", "a")
        assert (view.status, view.incarnation) == (Status.FAILED, 1)


async def test_retention_deletes_what_ended_well_long_ago_and_nothing_else(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps(retention=HOUR)
    dones, fails, waits = app.register(who_ran), app.register(fail), app.register(wait_for_text)
    async with app:
        await dones.run("old")
        with pytest.raises(FlowFailed):
            await fails.run("failed")
        await waits.schedule("waiting")
        await clock.advance(1.5 * HOUR)
        await dones.run("young")
        await clock.advance(HOUR)
        assert [info.id for info in await dones.list()] == ["young"]
        assert [info.status for info in await fails.list()] == [Status.FAILED]
        assert [info.status for info in await waits.list()] == [Status.LIVE]
        await clock.advance(3 * HOUR)
        assert await dones.list() == []
        assert await waits.send_message("waiting", "still there") is Delivery.ACCEPTED


async def test_two_apps_that_start_one_id_share_one_flow(shared: Apps) -> None:
    first, second = shared(lease=NEVER), shared(lease=NEVER)
    ran: list[str] = []

    @flow
    async def once(name: str) -> str:
        ran.append(name)
        await sleep(HOUR)
        return name

    first_flows, second_flows = first.register(once), second.register(once)
    async with first, second:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ParamIgnored)
            tasks = [
                asyncio.create_task(flows.run("a", name))
                for name, flows in (("first", first_flows), ("second", second_flows))
            ]
            await shared.clock.advance(HOUR)
            await shared.clock.advance(SECOND)
            results = [await task for task in tasks]
        assert results[0] == results[1]
        assert set(ran) == {results[0]}
        assert count_rows(first, "flows") == 1


async def test_apps_on_two_stores_do_not_meet(clock: VirtualClock) -> None:
    first, second = Unbroken("sqlite://", clock=clock), Unbroken("sqlite://", clock=clock)
    first_flows, second_flows = first.register(who_ran), second.register(who_ran)
    async with first, second:
        assert await first_flows.run("a") == 1
        assert await second_flows.list() == []
        assert await second_flows.run("a") == 1
