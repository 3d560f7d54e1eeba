"""Locks over crashes, lost answers, and many flows in two apps at once."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps, Gate, count_rows, loose, row
from tests.flows.database import read
from tests.flows.guarded import guarded, note, standing, trail
from unbroken import Status, Unbroken, capture, current_flow, flow, lock, semaphore, sleep
from unbroken.model.errors import OutcomeUnknown
from unbroken.stores.batch import Batch, LeavePlace, TakePlace
from unbroken.testing import VirtualClock

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NEVER = timedelta(days=10_000)
STAYS = pytest.mark.parametrize("stay", [AT_ONCE, 100 * HOUR], ids=["suspended", "warm"])


@pytest.fixture(autouse=True)
def _no_trail() -> None:
    trail.clear()


class Broken(Exception):
    pass


# crashes


async def test_the_flow_of_a_dead_process_holds_on_until_it_ends_elsewhere(shared: Apps) -> None:
    gate = Gate()

    @flow
    async def held() -> None:
        async with lock("x"):
            await capture("in", note, "in")
            if current_flow().incarnation == 1:
                await gate.pass_through()
            await capture("out", note, "out")

    hung, hung_flows = await shared.hang(held)
    await hung_flows.schedule("a")
    await gate.reached()
    app = shared()
    others = app.register(guarded)
    async with app:
        await others.schedule("b")
        await shared.clock.advance(LEASE + MINUTE)
        assert trail == ["in a"]
        assert await standing(app) == ["A", "b"], "nobody knows its type here, so it holds on"
    app = shared()
    app.register(guarded)
    flows = app.register(held)
    async with app:
        await shared.clock.advance(MINUTE)
        await flows.completion("a")
        assert trail == ["in a", "out a", "in b"]
        assert await standing(app) == ["B"]
        gate.open()  # the dead one goes on, and may write nothing any more
        await hung.stop(AT_ONCE)
        assert await standing(app) == ["B"]
        await shared.clock.advance(HOUR)
        assert trail == ["in a", "out a", "in b", "out b"]


async def test_one_who_waits_keeps_its_turn_when_its_process_dies(shared: Apps) -> None:
    hung = shared(clock=VirtualClock(), suspend_after=HOUR)
    hung_flows = hung.register(guarded)
    await hung.start()
    app = shared()
    flows = app.register(guarded)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
        await hung_flows.schedule("b")
        await loose(hung)._clock.settle()
        await flows.schedule("c")
        await shared.clock.settle()
        assert await standing(app) == ["A", "b", "c"]
        await shared.clock.advance(4 * HOUR)
        assert trail == [f"{what} {id}" for id in "abc" for what in ("in", "out")]


async def test_a_flow_that_ends_inside_of_its_block_frees_the_place(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def never_leaves() -> None:
        await lock("x").__aenter__()
        await sleep(MINUTE)

    app = apps(suspend_after=AT_ONCE)
    flows, others = app.register(never_leaves), app.register(guarded)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await others.schedule("b")
        await clock.settle()
        assert await standing(app) == ["A", "b"]
        await clock.advance(MINUTE)
        assert await standing(app) == ["B"]


# lost answers


def in_batch(kind: type, batch: Batch) -> bool:
    return any(isinstance(change, kind) for change in batch.changes)


TROUBLED: dict[str, Callable[[Batch], bool]] = {
    "queueing up": lambda batch: in_batch(TakePlace, batch),
    "holding": lambda batch: any(r.effect.key == "lock:x" for r in batch.records),
    "leaving": lambda batch: in_batch(LeavePlace, batch),
}


@pytest.mark.parametrize("landed", [True, False], ids=["landed", "not landed"])
@pytest.mark.parametrize("what", TROUBLED)
@pytest.mark.parametrize("times", [1, 3])
@STAYS
async def test_nobody_is_lost_when_the_outcome_of_a_write_is_unknown(
    apps: Apps, clock: VirtualClock, stay: timedelta, what: str, times: int, *, landed: bool
) -> None:
    app = apps(suspend_after=stay)
    flows = app.register(guarded)
    left = [OutcomeUnknown("the connection broke at COMMIT")] * times
    commit = app._store.commit

    async def troubled(batch: Batch) -> Any:
        is_wanted = TROUBLED[what](batch) and left
        if is_wanted and not landed:
            raise left.pop()
        receipt = await commit(batch)
        if is_wanted:
            raise left.pop()
        return receipt

    loose(app)._store.commit = troubled
    async with app:
        for id in "abc":
            await flows.schedule(id)
            await clock.settle()
        await clock.advance(4 * HOUR)
        assert trail == [f"{what} {id}" for id in "abc" for what in ("in", "out")]
        assert left == []
        assert await standing(app) == []


# many at once


class Limits:
    """Looks after each commit whether more flows hold places than their limit says."""

    def __init__(self, **limits: int) -> None:
        self.limits = limits
        self.most = dict.fromkeys(limits, 0)
        self.commits = 0

    def watch(self, app: Unbroken) -> None:
        commit = app._store.commit

        async def watched(batch: Batch) -> Any:
            receipt = await commit(batch)
            if batch.changes or batch.claim:
                self._look(app)
            return receipt

        loose(app)._store.commit = watched

    def _look(self, app: Unbroken) -> None:
        self.commits += 1
        held = read(app, "SELECT queue, count(*) FROM places WHERE held GROUP BY queue")
        for queue, count in held:
            assert count <= self.limits[queue], f"{count} flows hold {queue!r}"
            self.most[queue] = max(self.most[queue], count)


@STAYS
@pytest.mark.parametrize("seed", range(3))
async def test_holders_are_never_more_than_the_limit_whoever_comes_and_goes(
    shared: Apps, clock: VirtualClock, stay: timedelta, seed: int
) -> None:
    chance = random.Random(seed)
    limits = Limits(one=1, three=3)

    @flow
    async def busy(plan: list[tuple[str, int, int]]) -> int:
        entered = 0
        for name, seconds, patience in plan:
            timeout = timedelta(seconds=patience) if patience else None
            try:
                async with semaphore(name, limits.limits[name], timeout=timeout):
                    entered += 1
                    await sleep(timedelta(seconds=seconds))
                    if seconds == 3:
                        raise Broken
            except (TimeoutError, Broken):
                await sleep(timedelta(seconds=1))
        return entered

    def plan() -> list[tuple[str, int, int]]:
        return [
            (chance.choice(["one", "three"]), chance.randint(1, 9), chance.choice([0, 0, 5, 60]))
            for _ in range(3)
        ]

    made = [shared(suspend_after=stay, lease=NEVER) for _ in range(2)]
    handles = [app.register(busy) for app in made]
    for app in made:
        limits.watch(app)
    async with made[0], made[1]:
        for number in range(30):
            await chance.choice(handles).schedule(str(number), plan())
        for number in chance.sample(range(30), 5):
            await clock.advance(timedelta(seconds=3))
            await chance.choice(handles).cancel(str(number))
        for _ in range(200):  # across apps it is a poll that hears of a grant
            await clock.advance(timedelta(seconds=6))
        ended = [await row(made[0], "busy", str(number)) for number in range(30)]
        assert {view.status for view in ended} <= {Status.DONE, Status.CANCELLED}
        assert limits.most == {"one": 1, "three": 3}
        assert limits.commits > 100
        assert count_rows(made[0], "places") == 0
