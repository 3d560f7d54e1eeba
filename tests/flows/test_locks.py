"""Locks and semaphores: who is let in, in which order, and what happens around the entry."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, count_rows, loose, stored_effects, stored_messages
from unbroken import (
    FlowFailed,
    capture,
    current_flow,
    flow,
    gather,
    lock,
    message,
    semaphore,
    sleep,
)
from unbroken.stores.batch import Batch
from unbroken.testing import VirtualClock

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
STAYS = pytest.mark.parametrize("stay", [AT_ONCE, 100 * HOUR], ids=["suspended", "warm"])

trail: list[str] = []


@pytest.fixture(autouse=True)
def _no_trail() -> None:
    trail.clear()


async def note(what: str) -> None:
    trail.append(f"{what} {current_flow().id}")


@flow
async def guarded(name: str) -> None:
    async with lock(name):
        await capture("in", note, "in")
        await sleep(HOUR)
        await capture("out", note, "out")


@flow
async def guarded_too(name: str) -> None:
    async with lock(name):
        await capture("in", note, "in")
        await sleep(HOUR)
        await capture("out", note, "out")


@STAYS
async def test_one_flow_at_a_time_is_let_in_over_all_types_in_the_order_in_which_they_came(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    app = apps(suspend_after=stay)
    types = app.register(guarded), app.register(guarded_too)
    ids = ["d", "a", "c", "b"]
    async with app:
        for index, id in enumerate(ids):
            await types[index % 2].schedule(id, "x")
            await clock.settle()
        await clock.advance(5 * HOUR)
        assert trail == [f"{what} {id}" for id in ids for what in ("in", "out")]
        assert count_rows(app, "places") == 0


@STAYS
async def test_a_semaphore_lets_in_as_many_as_it_says(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    @flow
    async def printing() -> None:
        async with semaphore("printers", 2):
            await capture("in", note, "in")
            await sleep(HOUR)
            await capture("out", note, "out")

    app = apps(suspend_after=stay)
    flows = app.register(printing)
    async with app:
        for id in "abcd":
            await flows.schedule(id)
            await clock.settle()
        assert trail == ["in a", "in b"]
        await clock.advance(HOUR + MINUTE)
        assert set(trail[2:]) == {"out a", "in c", "out b", "in d"}
        assert trail.index("in c") < trail.index("in d")
        await clock.advance(HOUR + MINUTE)
        assert len(trail) == 8


async def test_each_waiting_flow_looks_at_its_own_limit_when_it_is_first(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def limited(limit: int) -> None:
        async with semaphore("x", limit):
            trail.append(current_flow().id)
            await message(str)

    app = apps(suspend_after=100 * HOUR)
    flows = app.register(limited)
    async with app:
        for id, limit in (("a", 2), ("b", 1), ("c", 3)):
            await flows.schedule(id, limit)
            await clock.settle()
        assert trail == ["a"], "b is first and allows only itself; c does not pass by"
        await flows.send_message("a", "go")
        await clock.settle()
        assert trail == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["inventory/42", "a.b#c", "%2F", "ß ", "'", "x" * 255, "/" * 255])
async def test_any_id_may_name_a_lock_and_different_names_are_different_locks(
    apps: Apps, clock: VirtualClock, name: str
) -> None:
    app = apps()
    flows = app.register(guarded)
    async with app:
        for id, lock_name in (("a", name), ("b", name), ("other", "inventory%2F42")):
            await flows.schedule(id, lock_name)
            await clock.settle()
        assert trail == ["in a", "in other"]
        assert [one.flow_id for one in await app.queue(name).waiting()] == ["b"]
        await clock.advance(2 * HOUR)
        assert trail[-1] == "out b"


async def test_many_locks_in_a_loop_and_the_same_one_again(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def looping() -> None:
        for name in ("x", "y", "x", "x"):
            async with lock(name):
                await sleep(MINUTE)
                trail.append(name)
                await capture(note, "in")

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(looping)
    async with app:
        await flows.schedule("a")
        await clock.advance(5 * MINUTE)
        await flows.completion("a")
        assert [one for one in trail if one == "in a"] == ["in a"] * 4
        assert count_rows(app, "places") == 0
        assert stored_messages(app, "a") == []


async def test_a_free_lock_costs_two_transactions_of_its_own(apps: Apps) -> None:
    @flow
    async def locked(times: int) -> None:
        for _ in range(times):
            async with lock("x"):
                pass

    app = apps()
    flows = app.register(locked)
    commits: list[Batch] = []
    commit = app._store.commit

    async def counted(batch: Batch) -> Any:
        commits.append(batch)
        return await commit(batch)

    loose(app)._store.commit = counted
    async with app:
        await flows.run("b", 10)
        taken = [batch for batch in commits if batch.records]
        waited = [batch for batch in taken if batch.changes]
        assert len(waited) == 20
        assert len(taken) <= 30, "that the lock is held is written on the way"
        await flows.run("a", 1)
        assert stored_effects(app, "a") == {"lock:x": "lock", "lock:x.released": "lock"}


# the flow that holds it enters again


@STAYS
async def test_the_holder_enters_again_and_leaves_with_the_outermost_block(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    @flow
    async def nested() -> None:
        async with lock("x"):
            async with lock("x"), semaphore("x", 3):
                await sleep(MINUTE)
            await capture("still in", note, "still in")
            await sleep(HOUR)
            await capture("out", note, "out")

    app = apps(suspend_after=stay)
    flows, others = app.register(nested), app.register(guarded)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await others.schedule("b", "x")
        await clock.advance(2 * HOUR)
        assert trail == ["still in a", "out a", "in b"]


@STAYS
async def test_branches_share_the_lock_until_the_last_one_has_left(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    async def branch(name: str, duration: timedelta) -> None:
        async with lock("x"):
            await capture("in", note, f"{name} in")
            await sleep(duration)
        await capture("out", note, f"{name} out")

    @flow
    async def branched() -> None:
        await gather(branch("first", MINUTE), branch("second", 2 * HOUR))

    app = apps(suspend_after=stay)
    flows, others = app.register(branched), app.register(guarded)
    async with app:
        await others.schedule("0", "x")
        await clock.settle()
        await flows.schedule("a")
        await clock.settle()
        await others.schedule("1", "x")
        await clock.advance(HOUR + 2 * MINUTE)
        assert trail[:2] == ["in 0", "out 0"]
        assert set(trail[2:4]) == {"first in a", "second in a"}
        assert trail[4:] == ["first out a"]
        await clock.advance(2 * HOUR)
        assert set(trail[5:]) == {"second out a", "in 1"}
        assert len(trail) == 7


async def test_a_branch_whose_time_is_over_leaves_the_turn_to_the_other(
    apps: Apps, clock: VirtualClock
) -> None:
    async def hurried() -> str:
        try:
            async with lock("x", timeout=MINUTE):
                return "in"
        except TimeoutError:
            return "too late"

    async def patient() -> str:
        async with lock("x"):
            return "in"

    @flow
    async def branched() -> tuple[str, str]:
        return await gather(hurried(), patient())

    app = apps(suspend_after=AT_ONCE)
    flows, others = app.register(branched), app.register(guarded)
    async with app:
        await others.schedule("0", "x")
        await clock.settle()
        await flows.schedule("a")
        await clock.advance(10 * MINUTE)
        assert [one.flow_id for one in await app.queue("x").waiting()] == ["a"]
        await clock.advance(HOUR)
        assert await flows.completion("a") == ("too late", "in")
        assert count_rows(app, "places") == 0


async def test_a_lock_in_a_task_of_the_users(apps: Apps, clock: VirtualClock) -> None:
    async def locked(name: str) -> None:
        async with lock(name):
            await capture(f"in {name}", note, name)

    @flow
    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(locked("x"))
            group.create_task(locked("y"))

    app = apps(suspend_after=AT_ONCE)
    flows, others = app.register(grouped), app.register(guarded)
    async with app:
        await others.schedule("0", "x")
        await clock.settle()
        await flows.schedule("a")
        await clock.settle()
        assert trail == ["in 0", "y a"]
        await clock.advance(HOUR)
        await flows.completion("a")
        assert trail == ["in 0", "y a", "out 0", "x a"]
        assert count_rows(app, "places") == 0


# time-outs


@flow
async def hurried(timeout: timedelta) -> str:
    try:
        async with lock("x", timeout=timeout):
            await capture("in", note, "in")
    except TimeoutError as error:
        await sleep(HOUR)
        return str(error)
    return "in"


@STAYS
async def test_who_waits_too_long_gets_a_timeout_and_stands_in_the_queue_no_more(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    app = apps(suspend_after=stay)
    flows, others = app.register(hurried), app.register(guarded)
    async with app:
        await others.schedule("0", "x")
        await clock.settle()
        await flows.schedule("a", MINUTE)
        await clock.settle()
        await others.schedule("1", "x")
        await clock.advance(2 * MINUTE)
        assert [one.flow_id for one in await app.queue("x").waiting()] == ["1"]
        await clock.advance(HOUR)
        assert trail == ["in 0", "out 0", "in 1"]
        assert await flows.completion("a") == "'x' was held by others until the time-out"


async def test_no_patience_at_all_gets_a_lock_that_is_free(apps: Apps, clock: VirtualClock) -> None:
    app = apps()
    flows, others = app.register(hurried), app.register(guarded)
    async with app:
        assert await flows.run("a", timedelta(0)) == "in"
        await others.schedule("0", "x")
        await clock.settle()
        waiting = [asyncio.create_task(flows.run(id, -MINUTE)) for id in "bc"]
        await clock.advance(HOUR)
        assert {"time-out" in await one for one in waiting} == {True}


async def test_a_place_that_came_in_time_is_taken_however_late_the_flow_looks(
    shared: Apps, clock: VirtualClock
) -> None:
    app = shared(suspend_after=AT_ONCE)
    flows, others = app.register(hurried), app.register(guarded)
    async with app:
        await others.schedule("0", "x")
        await clock.settle()
        await flows.schedule("early", HOUR + MINUTE)
        await clock.settle()
        await flows.schedule("late", HOUR + MINUTE)
        await clock.settle()
    only_others = shared()
    only_others.register(guarded)
    async with only_others:
        await clock.advance(HOUR)
        assert trail == ["in 0", "out 0"]
        assert [one.flow_id for one in await only_others.queue("x").holders()] == ["early"]
        await clock.advance(HOUR)
    app = shared(suspend_after=AT_ONCE)
    flows = app.register(hurried)
    async with app:
        assert await flows.completion("early") == "in"
        await clock.advance(2 * HOUR)
        assert "time-out" in await flows.completion("late")
        assert count_rows(app, "places") == 0


async def test_a_timeout_that_ends_the_flow_is_an_ordinary_failure(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def failing() -> None:
        async with lock("x", timeout=MINUTE):
            pass

    app = apps()
    flows, others = app.register(failing), app.register(guarded)
    async with app:
        await others.schedule("0", "x")
        await clock.settle()
        waiting = asyncio.create_task(flows.run("a"))
        await clock.advance(2 * MINUTE)
        with pytest.raises(FlowFailed, match="TimeoutError"):
            await waiting
