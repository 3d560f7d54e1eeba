"""A store that does not answer for a while, or whose answer is lost: found by the simulator."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar, cast

import pytest

from tests.crash.crashing_store import DelegatingStore, put_before
from tests.flows.apps import AT_ONCE, Apps, until
from unbroken import AppNotRunning, StoreUnavailable, Unbroken, flow, sleep
from unbroken.model.errors import OutcomeUnknown
from unbroken.stores.batch import Batch, Receipt
from unbroken.stores.store import Store
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)
T = TypeVar("T")


class Faulty(DelegatingStore):
    """Refuses operations of the names in `down`, and loses the answers to commits of `lost`."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.down: set[str] = set()
        self.lost: list[str] = []
        self.refused: list[str] = []

    async def _pass(self, what: str, operation: Awaitable[T]) -> T:
        name = what.partition(" ")[0]
        if name in self.down:
            cast("Coroutine[Any, Any, T]", operation).close()
            self.refused.append(name)
            raise StoreUnavailable(f"{name} does not answer")
        return await operation

    async def commit(self, batch: Batch) -> Receipt | None:
        receipt = await super().commit(batch)
        for key in self.lost:
            if any(record.effect.key == key for record in batch.records):
                self.lost.remove(key)
                raise OutcomeUnknown("the answer is lost")
        return receipt


def faulty(app: Unbroken) -> Faulty:
    made: list[Faulty] = []

    def wrapped(inner: Store) -> Store:
        made.append(Faulty(inner))
        return made[0]

    put_before(app, wrapped)
    return made[0]


@flow
async def child(n: int) -> int:
    await sleep(HOUR)
    return n


@flow
async def parent(n: int) -> int:
    return await child.run("child", n) + 1


async def test_a_childs_start_whose_answer_was_lost_is_found(
    apps: Apps, clock: VirtualClock
) -> None:
    """That the batch landed says nothing of the start's answer: it is asked again, and fits."""
    app = apps()
    store = faulty(app)
    app.register(child)
    flows = app.register(parent)
    async with app:
        store.lost.append("child.started")
        await flows.schedule("p", 4)
        await clock.advance(HOUR)
        assert await flows.completion("p") == 5
        assert store.lost == []


async def test_a_look_at_ancestors_outlasts_an_outage(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def middle() -> int:
        return await child.run("shared", 1)

    @flow
    async def top() -> int:
        return await middle.run("middle")

    app = apps(suspend_after=AT_ONCE)
    store = faulty(app)
    children, tops = app.register(child), app.register(top)
    app.register(middle)
    async with app:
        await children.schedule("shared", 1)
        store.down.add("view")
        await tops.schedule("t")
        await clock.settle()
        await until(lambda: "view" in store.refused)
        store.down.clear()
        await clock.advance(HOUR * 2)
        assert await tops.completion("t") == 1


async def test_who_waits_for_a_flow_outlasts_an_outage(apps: Apps, clock: VirtualClock) -> None:
    app = apps(suspend_after=AT_ONCE)
    store = faulty(app)
    flows = app.register(child)
    async with app:
        scheduled = await flows.schedule("a", 7)
        await clock.settle()
        store.down.add("find")
        waiting = asyncio.create_task(scheduled.completion())
        await until(lambda: "find" in store.refused)
        store.down.clear()
        await clock.advance(HOUR)
        assert await waiting == 7


async def test_an_app_may_be_stopped_while_its_store_does_not_let_it_start(apps: Apps) -> None:
    app = apps()
    store = faulty(app)
    flows = app.register(child)
    store.down.add("register")
    starting = asyncio.create_task(app.start())
    await until(lambda: "register" in store.refused)
    with pytest.raises(AppNotRunning):
        await flows.schedule("a", 1)
    await app.stop()
    with pytest.raises(AppNotRunning, match="before it had started"):
        await starting
    store.down.clear()
    async with app:
        await flows.schedule("a", 1)


async def test_a_served_app_may_be_told_to_stop_before_it_has_started(apps: Apps) -> None:
    app = apps()
    store = faulty(app)
    store.down.add("register")
    serving = asyncio.create_task(app.serve())
    await until(lambda: "register" in store.refused)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, 5)


async def test_parked_flows_are_mended_once_the_store_answers(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    store = faulty(app)
    flows = app.register(child)
    store.down.add("mend")
    starting = asyncio.create_task(app.start())
    await until(lambda: "mend" in store.refused)
    store.down.clear()
    await clock.advance(timedelta(seconds=1))
    await starting
    await flows.schedule("a", 1)
