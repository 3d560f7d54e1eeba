"""What must hold although a caller gives up, a store falters, or code misbehaves."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import wraps
from typing import Any

import pytest

from tests.crash.crashing_store import DelegatingStore, put_before
from tests.flows.apps import (
    AT_ONCE,
    Apps,
    Gate,
    events_of,
    jump,
    names_of,
    row,
    stored_effects,
    until,
)
from tests.flows.database import change
from unbroken import (
    AppNotRunning,
    FlowFailed,
    StoreUnavailable,
    Unbroken,
    capture,
    effect,
    flow,
    gather,
    message,
    postpone,
    sleep,
)
from unbroken.model.records import Outcome
from unbroken.stores.batch import Append, Batch, Receipt, Suspend
from unbroken.stores.store import Inbox, Store
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Held(DelegatingStore):
    """Lets a test hold back what a commit answered, and makes reads fail."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.gate: Gate | None = None
        self.holds: Callable[[Batch], bool] = lambda _: False
        self.unowned = 0
        self.unfound = 0
        self.bugs = 0
        self.reading: Gate | None = None
        self.deletions = 0
        self.commits: list[Batch] = []

    async def register(self, replica: str, lease: int = 0) -> int:
        return await self.inner.register(replica, lease)

    async def commit(self, batch: Batch) -> Receipt | None:
        receipt = await self.inner.commit(batch)
        self.commits.append(batch)
        if self.gate is not None and self.holds(batch):
            await self.gate.pass_through()
        return receipt

    async def owned(self, replica: str) -> dict[int, int]:
        if self.bugs:
            self.bugs -= 1
            raise RuntimeError("nobody foresaw this")
        if self.unowned:
            self.unowned -= 1
            raise StoreUnavailable("not now")
        return await self.inner.owned(replica)

    async def read_inbox(self, flow: int) -> Inbox | None:
        inbox = await self.inner.read_inbox(flow)
        if self.reading is not None:
            await self.reading.pass_through()
        return inbox

    async def delete_ended(self, before: int, limit: int) -> int:
        self.deletions += 1
        return await self.inner.delete_ended(before, limit)

    async def find(self, type: str, id: str) -> Outcome | None:
        if self.unfound:
            self.unfound -= 1
            raise StoreUnavailable("not now")
        return await self.inner.find(type, id)


def hold(app: Unbroken) -> Held:
    kept: list[Held] = []

    def wrap(store: Store) -> Store:
        kept.append(Held(store))
        return kept[0]

    put_before(app, wrap)
    return kept[0]


def _appends(batch: Batch) -> bool:
    return any(isinstance(change, Append) for change in batch.changes)


def _suspends(batch: Batch) -> bool:
    return any(isinstance(change, Suspend) for change in batch.changes)


@flow
async def patient() -> str:
    """Waits in memory for a day."""
    return await message(str, suspend_after=DAY)


@flow
async def plain() -> str:
    return "done"


# names


def logged(work: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[str]]:
    @wraps(work)
    async def logging(*args: Any) -> str:
        return await work(*args)

    return logging


@logged
async def reserve() -> str:
    return "reserved"


@logged
async def ship() -> str:
    return "shipped"


async def test_functions_that_one_decorator_made_keep_their_own_names(apps: Apps) -> None:
    @flow
    async def order() -> tuple[str, str]:
        return await capture(reserve), await capture(ship)

    app = apps()
    flows = app.register(order)
    async with app:
        assert await flows.run("a") == ("reserved", "shipped")
        assert stored_effects(app, "a").keys() == {"reserve", "ship"}


# callers that give up


async def test_a_message_whose_sender_gave_up_reaches_a_flow_in_memory() -> None:
    clock = VirtualClock()
    app = Unbroken("sqlite://", clock=clock)
    store = hold(app)
    flows = app.register(patient)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.settle()
        store.gate, store.holds = Gate(), _appends
        sending = asyncio.create_task(flows.send_message("a", "hi"))
        await store.gate.reached()
        sending.cancel()
        await asyncio.wait([sending])
        store.gate.open()
        result = asyncio.create_task(scheduled.completion())
        await clock.advance(timedelta(seconds=30))
        assert result.done()
        assert result.result() == "hi"


async def test_a_flow_whose_starter_gave_up_runs_at_once() -> None:
    clock = VirtualClock()
    app = Unbroken("sqlite://", clock=clock)
    store = hold(app)
    flows = app.register(plain)
    async with app:
        store.gate, store.holds = Gate(), lambda batch: bool(batch.starts)
        starting = asyncio.create_task(flows.run("a"))
        await store.gate.reached()
        starting.cancel()
        await asyncio.wait([starting])
        store.gate.open()
        await clock.settle()
        assert (await row(app, "plain", "a")).status == "done"


async def test_a_message_that_comes_while_the_inbox_is_read_is_not_overlooked(
    shared: Apps,
) -> None:
    @flow
    async def two() -> list[str]:
        return [await message(str, suspend_after=DAY), await message(str, suspend_after=DAY)]

    app, client = shared(), shared(execute=False)
    store = hold(app)
    flows = app.register(two)
    sender = client.register(two)
    async with app, client:
        scheduled = await flows.schedule("a")
        await shared.clock.settle()
        store.reading = Gate()
        await sender.send_message("a", "one")
        app._running().poller.look()
        await store.reading.reached()
        await flows.send_message("a", "two")
        store.reading.open()
        result = asyncio.create_task(scheduled.completion())
        await shared.clock.advance(timedelta(seconds=30))
        assert result.done()
        assert result.result() == ["one", "two"]


# a store that falters


async def test_an_audit_survives_a_store_that_does_not_answer() -> None:
    clock = VirtualClock()
    app = Unbroken("sqlite://", clock=clock)
    store = hold(app)
    flows, other = app.register(patient), app.register(plain)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        store.unowned = 2
        for _ in range(10):
            await clock.advance(timedelta(seconds=30))
        assert store.unowned == 0
        assert await other.run("b") == "done"


async def test_a_fault_that_nobody_foresaw_is_told_and_stops_nothing(clock: VirtualClock) -> None:
    app = Unbroken("sqlite://", clock=clock)
    events = events_of(app)
    store = hold(app)
    flows = app.register(plain)
    async with app:
        store.bugs = 2
        for _ in range(10):
            await clock.advance(timedelta(seconds=30))
        assert store.bugs == 0
        assert names_of(events).count("engine.part_failed") == 2
        assert await flows.run("b") == "done"


PROGRAM = """
import asyncio, sys
from unbroken import Unbroken, capture, flow, message

@flow
async def waiting() -> str:
    return await message(str)

@flow
async def working() -> None:
    begun.set()
    await capture("stand", asyncio.Event().wait)

async def main() -> None:
    global begun
    begun = asyncio.Event()
    app = Unbroken(sys.argv[1])
    flows = [app.register(waiting), app.register(working)]
    await app.start()
    for one in flows:
        await one.schedule("a")
    await begun.wait()

asyncio.run(main())
"""


async def test_a_program_that_ends_without_a_stop_ends_and_records_nothing_false(
    shared: Apps,
) -> None:
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, shared.url)
    assert await program.wait() == 0
    app = shared(execute=False)
    async with app:
        assert (await row(app, "waiting", "a")).status == "live"
        assert (await row(app, "working", "a")).status == "live"
        assert stored_effects(app, "a") == {}


async def test_a_warm_flow_costs_no_writes_while_it_waits() -> None:
    clock = VirtualClock()
    app = Unbroken("sqlite://", clock=clock)
    store = hold(app)
    flows = app.register(patient)
    async with app:
        for number in range(5):
            await flows.schedule(f"a{number}")
        await clock.advance(timedelta(seconds=30))
        store.commits.clear()
        for _ in range(20):
            await clock.advance(timedelta(seconds=30))
        assert [batch.changes for batch in store.commits if batch.changes] == []


@pytest.mark.parametrize("shared_url", ["sqlite-file"], indirect=True)  # it holds any bytes
async def test_a_message_that_cannot_be_read_parks_its_flow_and_holds_up_no_other(
    shared: Apps,
) -> None:
    app = shared()
    flows, others = app.register(patient), app.register(plain)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
        change(app, "UPDATE flows SET inbox = 1 WHERE id = 'a'")
        change(
            app,
            "INSERT INTO messages (flow, position, key, type, body, sent_at, consumed)"
            " SELECT number, 1, '=k', 'str', CAST(x'FF' AS TEXT), 0, 0 FROM flows",
        )
        await others.bulk_schedule([others.prepare("b")])
        await shared.clock.settle()
        assert (await row(app, "plain", "b")).status == "done"
        assert (await row(app, "patient", "a")).status == "parked"


# room


async def test_a_flow_that_waits_leaves_its_room_to_the_next(clock: VirtualClock) -> None:
    app = Unbroken("sqlite://", clock=clock, concurrency=2)
    flows = app.register(patient)
    async with app:
        await flows.bulk_schedule([flows.prepare(str(n)) for n in range(10)])
        await clock.settle()
        owners = [one.owner for one in await flows.list()]
        assert None not in owners


# leaving


async def test_a_flow_that_begins_while_the_app_stops_does_not_delay_it(
    clock: VirtualClock,
) -> None:
    app = Unbroken("sqlite://", clock=clock)
    store = hold(app)
    flows = app.register(patient)
    await app.start()
    store.gate, store.holds = Gate(), lambda batch: bool(batch.starts)
    starting = asyncio.create_task(flows.schedule("a"))
    await store.gate.reached()
    stopping = asyncio.create_task(app.stop(HOUR))
    await asyncio.sleep(0)
    store.gate.open()
    await asyncio.wait([starting])
    await asyncio.wait([stopping], timeout=2)
    assert stopping.done()


async def test_a_scheduled_flow_may_be_awaited_after_a_restart_of_the_app(shared: Apps) -> None:
    app = shared()
    flows = app.register(patient)
    await app.start()
    scheduled = await flows.schedule("a")
    await app.stop()
    await app.start()
    await flows.send_message("a", "hi")
    async with asyncio.timeout(5):
        assert await scheduled.completion() == "hi"
    await app.stop()


@flow
async def standing() -> None:
    await capture("stand", asyncio.Event().wait)


async def test_a_stop_ends_although_its_clock_stands_still(clock: VirtualClock) -> None:
    app = Unbroken("sqlite://", clock=clock)
    flows = app.register(standing)
    await app.start()
    await flows.schedule("a")
    async with asyncio.timeout(5):
        await app.stop(timedelta(milliseconds=10))


async def test_a_stop_that_is_cancelled_leaves_nothing_running(clock: VirtualClock) -> None:
    before = asyncio.all_tasks()
    app = Unbroken("sqlite://", clock=clock)
    flows = app.register(standing)
    await app.start()
    await flows.schedule("a")
    stopping = asyncio.create_task(app.stop(HOUR))
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait([stopping])
    assert asyncio.all_tasks() - before == set()


async def test_serve_stops_the_app_when_it_is_cancelled(clock: VirtualClock) -> None:
    app = Unbroken("sqlite://", clock=clock)
    flows = app.register(plain)
    serving = asyncio.create_task(app.serve())
    await until(lambda: "running" in repr(app))
    assert await flows.run("a") == "done"
    serving.cancel()
    await asyncio.wait([serving])
    with pytest.raises(AppNotRunning):
        await flows.run("b")


async def test_retention_of_nothing_does_not_spin() -> None:
    app = Unbroken("sqlite://", retention=AT_ONCE)
    store = hold(app)
    flows = app.register(plain)
    async with app:
        for number in range(20):
            assert await flows.run(str(number)) == "done"
    assert store.deletions < 3


# misbehaving code


class Abort(BaseException):
    pass


async def test_a_flow_that_raises_a_base_exception_fails(apps: Apps) -> None:
    @flow
    async def aborts() -> None:
        raise Abort("now")

    app = apps()
    flows = app.register(aborts)
    async with app:
        with pytest.raises(FlowFailed, match="Abort"):
            await flows.run("a")


async def test_code_that_swallows_every_signal_does_not_block_the_loop(
    clock: VirtualClock,
) -> None:
    rounds, begun, over = 0, asyncio.Event(), asyncio.Event()

    @flow
    async def stubborn() -> None:
        nonlocal rounds
        begun.set()
        while rounds < 1_000_000 and not over.is_set():
            rounds += 1
            try:
                await message(str, suspend_after=AT_ONCE)
            except BaseException:
                continue

    app = Unbroken("sqlite://", clock=clock)
    flows = app.register(stubborn)
    async with app:
        await flows.schedule("a")
        await begun.wait()
        for _ in range(3):
            await jump(clock, timedelta(seconds=30))
        assert (await row(app, "stubborn", "a")).owner is None
        assert rounds < 10_000
        over.set()


async def test_code_that_swallows_a_postponement_and_stays_is_left_behind(
    clock: VirtualClock,
) -> None:
    stays = Gate()

    @flow
    async def stubborn() -> None:
        try:
            await postpone(HOUR)
        except BaseException:
            await stays.pass_through()

    app = Unbroken("sqlite://", clock=clock)
    events = events_of(app)
    flows = app.register(stubborn)
    async with app:
        await flows.schedule("a")
        await stays.reached()
        await jump(clock, timedelta(seconds=30))
        assert (await row(app, "stubborn", "a")).owner is None
        assert "flow.left_behind" in names_of(events)


async def test_a_body_does_not_begin_after_a_sibling_ended_the_incarnation(
    clock: VirtualClock,
) -> None:
    ran: list[str] = []
    leave = asyncio.Event()

    @effect(at_most_once=True)
    async def ship() -> None:
        ran.append("shipped")

    async def leaves() -> None:
        await leave.wait()
        await postpone(HOUR)

    @flow
    async def order() -> None:
        await gather(ship(), leaves())

    app = Unbroken("sqlite://", clock=clock)
    store = hold(app)
    flows = app.register(order)
    async with app:
        store.gate, store.holds = Gate(), lambda batch: bool(batch.records)
        await flows.schedule("a")
        await store.gate.reached()
        store.gate.open()
        leave.set()  # after the committer, and before who waits for its answer
        await clock.settle()
        assert (await row(app, "order", "a")).owner is None
        assert ran == []


# effects in tasks of the user's


async def test_a_flow_stays_while_an_effect_runs_in_a_task_of_its_own(
    clock: VirtualClock,
) -> None:
    gate = Gate()

    @effect(at_most_once=True)
    async def ship() -> str:
        await gate.pass_through()
        return "T"

    @flow
    async def order() -> str:
        shipping = asyncio.create_task(ship())
        await gate.reached()
        await sleep(timedelta(seconds=1), suspend_after=AT_ONCE)
        return await shipping

    app = Unbroken("sqlite://", clock=clock)
    flows = app.register(order)
    async with app:
        running = asyncio.create_task(flows.run("a"))
        await gate.reached()
        for _ in range(50):
            await asyncio.sleep(0)
        assert (await row(app, "order", "a")).owner is not None
        gate.open()
        await clock.advance(timedelta(seconds=5))
        assert running.done()
        assert running.result() == "T"


async def test_an_effect_left_running_at_the_flows_end_is_cancelled_and_named(
    apps: Apps,
) -> None:
    gate = Gate()
    cut: list[bool] = []

    async def slow() -> None:
        try:
            await gate.pass_through()
        except asyncio.CancelledError:
            cut.append(True)
            raise

    @flow
    async def careless() -> str:
        left = asyncio.create_task(capture(slow), name="left over")
        await gate.reached()
        return left.get_name()

    app = apps()
    events = events_of(app)
    flows = app.register(careless)
    async with app:
        assert await flows.run("a") == "left over"
        assert cut == [True]
        assert "flow.tasks_left" in names_of(events)


# children


@flow
async def quick_child() -> str:
    return "child"


async def test_a_start_of_a_child_that_was_cut_is_cut_on_replay_too(
    clock: VirtualClock,
) -> None:
    gate = Gate()
    tries: list[str] = []

    @flow
    async def parent() -> str:
        starting = asyncio.ensure_future(quick_child.schedule("c"))
        task = asyncio.current_task()
        assert task is not None
        cancel_now.append(starting)
        try:
            await starting
            tries.append("started")
        except asyncio.CancelledError:
            tries.append("cut")
        await sleep(HOUR, suspend_after=AT_ONCE)
        return tries[-1]

    cancel_now: list[asyncio.Future[Any]] = []
    app = Unbroken("sqlite://", clock=clock)
    store = hold(app)
    flows = app.register(parent)
    app.register(quick_child)
    async with app:
        store.gate = gate
        store.holds = lambda batch: any(start.type == "quick_child" for start in batch.starts)
        running = asyncio.create_task(flows.run("a"))
        await gate.reached()
        cancel_now[0].cancel()
        gate.open()
        await clock.settle()
        await clock.advance(HOUR)
        del running
    assert tries[:1] == ["cut"]
    assert set(tries) == {"cut"}


async def test_a_child_that_retention_deleted_is_remembered_by_its_parent(
    clock: VirtualClock,
) -> None:
    @flow
    async def parent() -> str:
        child = await quick_child.schedule("c")
        await sleep(30 * DAY)
        return await child.completion()

    app = Unbroken("sqlite://", clock=clock, retention=7 * DAY)
    flows = app.register(parent)
    app.register(quick_child)
    async with app:
        scheduled = await flows.schedule("a")
        for _ in range(31):
            await clock.advance(DAY)
        result = asyncio.create_task(scheduled.completion())
        await clock.settle()
        assert result.done()
        assert result.result() == "child"


async def test_a_store_that_falters_while_a_parent_looks_for_its_child_fails_nobody() -> None:
    @flow
    async def slow_child() -> str:
        return await message(str)

    @flow
    async def parent() -> str:
        child = await slow_child.schedule("c")
        await message(str, suspend_after=AT_ONCE)
        return await child.completion()

    app = Unbroken("sqlite://")
    store = hold(app)
    flows, children = app.register(parent), app.register(slow_child)
    async with app:
        store.gate, store.holds = Gate(), _suspends
        running = await flows.schedule("a")
        await store.gate.reached()
        store.gate.open()
        store.unfound = 2
        await flows.send_message("a", "go on")
        await children.send_message("c", "child")
        assert await running.completion() == "child"
        assert store.unfound == 0


async def test_a_child_that_waits_for_its_parent_is_an_error_at_once(apps: Apps) -> None:
    @flow
    async def parent(id: str) -> str:
        return await inner.run(f"{id}-child", id)

    @flow
    async def inner(id: str) -> str:
        return await parent.run(id, id)

    app = apps()
    flows = app.register(parent)
    app.register(inner)
    async with app:
        with pytest.raises(FlowFailed, match="would wait for it"):
            await flows.run("a", "a")
