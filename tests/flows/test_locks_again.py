"""Locks when the flow fails: what it held it must take again before it goes on."""

from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, row
from tests.flows.guarded import guarded, note, standing, trail
from unbroken import FlowCancelled, Retry, Status, capture, current_flow, flow, gather, lock, sleep
from unbroken.stores.store import Amendment
from unbroken.testing import VirtualClock

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
STAYS = pytest.mark.parametrize("stay", [AT_ONCE, 100 * HOUR], ids=["suspended", "warm"])


@pytest.fixture(autouse=True)
def _no_trail() -> None:
    trail.clear()


class Broken(Exception):
    pass


async def break_once() -> None:
    trail.append("work")
    if trail.count("work") == 1:
        raise Broken


@flow(retry=Retry(3, initial_delay=MINUTE, jitter=0))
async def fails_inside() -> None:
    async with lock("x"):
        await capture("in", note, "in")
        await capture("work", break_once)


@flow(retry=Retry(3, initial_delay=MINUTE, jitter=0))
async def fails_afterwards() -> None:
    saved: Broken | None = None
    async with lock("x"):
        await capture("in", note, "in")
        try:
            await capture("work", break_once)
        except Broken as error:
            saved = error
    if saved is not None:
        raise saved


@pytest.mark.parametrize("definition", [fails_inside, fails_afterwards])
async def test_a_flow_that_is_tried_again_has_to_wait_again(
    apps: Apps, clock: VirtualClock, definition: Any
) -> None:
    app = apps(suspend_after=AT_ONCE)
    flows, others = app.register(definition), app.register(guarded)
    async with app:
        first = await flows.schedule("a")
        await others.schedule("b")
        await clock.advance(2 * MINUTE)
        assert trail == ["in a", "work", "in b"]
        assert await standing(app) == ["B", "a"]
        await clock.advance(HOUR)
        await first.completion()
        assert trail == ["in a", "work", "in b", "out b", "work"]


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
async def test_a_flow_that_an_operator_restarts_has_to_wait_again(
    apps: Apps, clock: VirtualClock, how: str
) -> None:
    @flow
    async def held() -> None:
        async with lock("x"):
            await capture("in", note, "in")
            if current_flow().incarnation == 1:
                await sleep(MINUTE)
                raise Broken
            await capture("again", note, "again")

    app = apps(suspend_after=HOUR)
    flows, others = app.register(held), app.register(guarded)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await others.schedule("b")
        await clock.settle()
        if how == "fails":
            await clock.advance(MINUTE)
        else:
            await flows.cancel("a")
            await clock.settle()
        view = await row(app, "held", "a")
        assert view.status is (Status.FAILED if how == "fails" else Status.CANCELLED)
        amendment = Amendment(restarts=True)
        assert await app._store.amend(view.flow.number, view.version, amendment)
        app._running().poller.look()
        await clock.settle()
        assert trail == ["in a", "in b"]
        assert await standing(app) == ["B", "a"]
        await clock.advance(2 * HOUR)
        assert trail == ["in a", "in b", "out b", "again a"]


async def test_one_who_waited_in_another_branch_when_the_flow_failed_waits_again(
    apps: Apps, clock: VirtualClock
) -> None:
    async def wait_in_line() -> None:
        async with lock("x"):
            await capture("in", note, "in")

    async def fail() -> None:
        await capture("work", break_once)

    @flow(retry=Retry(3, initial_delay=MINUTE, jitter=0))
    async def branched() -> None:
        await gather(wait_in_line(), fail())

    app = apps(suspend_after=AT_ONCE)
    flows, others = app.register(branched), app.register(guarded)
    async with app:
        await others.schedule("b")
        await clock.settle()
        first = await flows.schedule("a")
        await clock.settle()
        assert await standing(app) == ["B"]
        await clock.advance(2 * MINUTE)
        assert await standing(app) == ["B", "a"]
        await clock.advance(HOUR)
        await first.completion()
        assert trail == ["in b", "work", "work", "out b", "in a"]


async def test_a_flow_that_continues_as_new_queues_up_again(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def for_ever(rounds: int) -> None:
        async with lock("x"):
            await capture("in", note, f"{rounds} in")
            await sleep(MINUTE)
            if rounds:
                await for_ever.continue_as_new(rounds - 1)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(for_ever)
    async with app:
        for id in "ab":
            await flows.schedule(id, 2)
            await clock.settle()
        await clock.advance(10 * MINUTE)
        assert trail == [f"{rounds} in {id}" for rounds in (2, 1, 0) for id in "ab"]
        assert await standing(app) == []


# errors and cuts


async def test_an_error_leaves_the_block_and_may_be_caught_outside(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def careful() -> str:
        try:
            async with lock("x"):
                await capture("work", break_once)
        except Broken:
            await sleep(HOUR)
            return "caught"
        return "?"

    app = apps(suspend_after=AT_ONCE)
    flows, others = app.register(careful), app.register(guarded)
    async with app:
        await flows.schedule("a")
        await others.schedule("b")
        await clock.settle()
        assert trail == ["work", "in b"]
        await clock.advance(HOUR)
        assert await flows.completion("a") == "caught"


@STAYS
async def test_one_who_waits_and_is_cut_leaves_the_queue_for_good(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    async def wait_in_line() -> None:
        async with lock("x"):
            await capture("in", note, "in")

    async def fail() -> None:
        await sleep(MINUTE)
        await capture("work", break_once)

    @flow
    async def cut() -> str:
        try:
            await gather(wait_in_line(), fail())
        except Broken:
            await sleep(2 * HOUR)
        return "cut"

    app = apps(suspend_after=stay)
    flows, others = app.register(cut), app.register(guarded)
    async with app:
        for handle, id in ((others, "0"), (flows, "a"), (others, "1")):
            await handle.schedule(id)
            await clock.settle()
        assert await standing(app) == ["0", "a", "1"]
        await clock.advance(MINUTE)
        assert await standing(app) == ["0", "1"]
        await clock.advance(3 * HOUR)
        assert await flows.completion("a") == "cut"
        assert trail == ["in 0", "work", "out 0", "in 1", "out 1"]


async def test_a_holder_that_is_cut_leaves_the_block(apps: Apps, clock: VirtualClock) -> None:
    async def hold() -> None:
        async with lock("x"):
            await sleep(HOUR)

    async def fail() -> None:
        await sleep(MINUTE)
        await capture("work", break_once)

    @flow
    async def cut() -> str:
        try:
            await gather(hold(), fail())
        except Broken:
            await sleep(2 * HOUR)
        return "cut"

    app = apps(suspend_after=AT_ONCE)
    flows, others = app.register(cut), app.register(guarded)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await others.schedule("b")
        await clock.advance(MINUTE)
        assert await standing(app) == ["B"]
        await clock.advance(3 * HOUR)
        assert await flows.completion("a") == "cut"


# cancel


@STAYS
async def test_a_cancelled_flow_leaves_the_queue_and_the_block(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    app = apps(suspend_after=stay)
    flows = app.register(guarded)
    async with app:
        for id in "abc":
            await flows.schedule(id)
            await clock.settle()
        await flows.cancel("b")
        await clock.settle()
        assert [one.flow_id for one in await app.queue("x").waiting()] == ["c"]
        await flows.cancel("a")
        await clock.settle()
        assert trail == ["in a", "in c"]
        with pytest.raises(FlowCancelled):
            await flows.completion("b")
        assert (await row(app, "guarded", "a")).status is Status.CANCELLED


async def test_a_timeout_is_waited_for_again_when_the_flow_is_tried_again(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow(retry=Retry(3, initial_delay=HOUR, jitter=0))
    async def hurried() -> None:
        async with lock("x", timeout=MINUTE):
            await capture("in", note, "in")

    app = apps(suspend_after=AT_ONCE)
    flows, others = app.register(hurried), app.register(guarded)
    async with app:
        await others.schedule("b")
        await clock.settle()
        first = await flows.schedule("a")
        await clock.advance(2 * HOUR)
        await first.completion()
        assert trail == ["in b", "out b", "in a"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_the_end_of_a_process_is_no_exit(
    apps: Apps, clock: VirtualClock, error: type[BaseException]
) -> None:
    @flow
    async def ending() -> None:
        held = lock("x")
        await held.__aenter__()
        await held.__aexit__(error, error(), None)
        await sleep(HOUR)
        await held.__aexit__(None, None, None)

    app = apps()
    flows = app.register(ending)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        assert await standing(app) == ["A"]
        await clock.advance(HOUR)
        await flows.completion("a")
        assert await standing(app) == []
