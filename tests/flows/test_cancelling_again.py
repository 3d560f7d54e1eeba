"""A cancel is not raised before what a former run has gone past."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.crash.crashing_store import DelegatingStore, put_before
from tests.flows.apps import AT_ONCE, Apps, row, until
from unbroken import (
    Delivery,
    EffectInterrupted,
    FlowCancelled,
    capture,
    current_flow,
    effect,
    flow,
    for_each,
    gather,
    message,
    saga,
    sleep,
)
from unbroken.stores.batch import Batch, Receipt, Suspend
from unbroken.stores.store import Store
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)


class Paid(msgspec.Struct):
    text: str


ran: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


async def note(what: str) -> str:
    ran.append(what)
    return what


async def _stuck_once(entered: asyncio.Event) -> None:
    """Hang in the first incarnation, as a process does that dies here."""
    if current_flow().incarnation == 1:
        entered.set()
        await asyncio.get_running_loop().create_future()


async def _cancelled_by_a_successor(
    shared: Apps, clock: VirtualClock, definition: Any, entered: asyncio.Event
) -> None:
    _, flows = await shared.hang(definition)
    await flows.schedule("a")
    await until(entered.is_set)
    app = shared()
    handle = app.register(definition)
    async with app:
        assert await handle.cancel("a") is Delivery.ACCEPTED
        await clock.advance(timedelta(seconds=60))
        with pytest.raises(FlowCancelled):
            await handle.completion("a")


async def test_a_cancel_comes_after_the_interruption_that_the_flow_was_told_of(
    shared: Apps, clock: VirtualClock
) -> None:
    entered = asyncio.Event()

    @effect(at_most_once=True)
    async def ship() -> None:
        raise asyncio.CancelledError  # its end is never recorded

    @flow
    async def order() -> None:
        with contextlib.suppress(EffectInterrupted, asyncio.CancelledError):
            await ship()
        try:
            await capture("charge", note, "charge")
            await _stuck_once(entered)
            await capture("next", note, "next")
        except FlowCancelled:
            await capture("refund", note, "refund")
            raise

    await _cancelled_by_a_successor(shared, clock, order, entered)
    assert ran == ["charge", "refund"]


async def test_a_cancel_comes_after_a_wait_that_was_cut(shared: Apps, clock: VirtualClock) -> None:
    entered = asyncio.Event()

    @flow
    async def order() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await message(Paid)
        try:
            await capture("charge", note, "charge")
            await _stuck_once(entered)
            await capture("next", note, "next")
        except FlowCancelled:
            await capture("refund", note, "refund")
            raise

    await _cancelled_by_a_successor(shared, clock, order, entered)
    assert ran == ["charge", "refund"]


async def test_a_cancel_comes_into_the_item_that_was_begun(
    shared: Apps, clock: VirtualClock
) -> None:
    entered = asyncio.Event()

    async def one(number: int) -> None:
        try:
            await capture("charge", note, f"charge {number}")
            if number == 1:
                await _stuck_once(entered)
            await capture("next", note, f"next {number}")
        except FlowCancelled:
            await capture("refund", note, f"refund {number}")
            raise

    @flow
    async def orders() -> None:
        await for_each(range(3), one)

    await _cancelled_by_a_successor(shared, clock, orders, entered)
    assert ran == ["charge 0", "next 0", "charge 1", "refund 1"]


async def test_a_cancel_does_not_undo_a_block_that_had_ended(
    shared: Apps, clock: VirtualClock
) -> None:
    entered = asyncio.Event()

    @flow
    async def order() -> None:
        async with saga() as way_back:
            await capture("book", note, "book")
            way_back.undo("give back", note, "give back")
        try:
            await capture("charge", note, "charge")
            await _stuck_once(entered)
            await capture("next", note, "next")
        except FlowCancelled:
            await capture("refund", note, "refund")
            raise

    await _cancelled_by_a_successor(shared, clock, order, entered)
    assert ran == ["book", "charge", "refund"]


class JustBefore(DelegatingStore):
    """Does something once, just before the first suspension is written."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.act: Callable[[], Awaitable[object]] | None = None

    async def commit(self, batch: Batch) -> Receipt | None:
        act = self.act
        if act is not None and any(isinstance(change, Suspend) for change in batch.changes):
            self.act = None
            await act()
        return await super().commit(batch)


async def test_a_cancel_that_beats_the_suspension_finds_a_flow_that_has_begun(
    shared: Apps, clock: VirtualClock
) -> None:
    """The first incarnation runs again, and is not taken for one that never began."""

    @flow
    async def waiting() -> None:
        await capture("reserve", note, "reserve")
        try:
            await message(Paid)
        except FlowCancelled:
            await capture("give back", note, "give back")
            raise

    app, client = shared(suspend_after=AT_ONCE), shared(execute=False)
    stores: list[JustBefore] = []

    def put(inner: Store) -> Store:
        stores.append(JustBefore(inner))
        return stores[0]

    put_before(app, put)
    flows, elsewhere = app.register(waiting), client.register(waiting)
    async with app, client:
        stores[0].act = lambda: elsewhere.cancel("a")
        await flows.schedule("a")
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        assert ran == ["reserve", "give back"]
        assert (await row(app, "waiting", "a")).incarnation == 1


async def test_a_child_that_is_started_beside_the_cancel_is_cancelled_too(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def child() -> None:
        await sleep(HOUR)

    async def late() -> None:
        await child.run("child")

    async def hears() -> None:
        try:
            await message(Paid)
        except FlowCancelled:
            starting.set()
            await capture("compensate", begun.wait)
            raise

    async def enter() -> None:
        entered.set()
        await starting.wait()

    async def starts() -> None:
        await capture(enter)
        await late()

    @flow
    async def parent() -> None:
        await gather(hears(), starts())

    entered, starting, begun = asyncio.Event(), asyncio.Event(), asyncio.Event()
    app = apps()
    children, parents = app.register(child), app.register(parent)
    async with app:
        await parents.schedule("p")
        await entered.wait()
        assert await parents.cancel("p") is Delivery.ACCEPTED
        await starting.wait()
        while not await children.list():  # noqa: ASYNC110 - the child's row, written meanwhile
            await asyncio.sleep(0)
        begun.set()
        with pytest.raises(FlowCancelled):
            await parents.completion("p")
        with pytest.raises(FlowCancelled):
            await children.completion("child")
