"""What one flow costs, on the empty and on the full database in turns.

Both are asked in one process, block after block, and who comes first changes with each turn: what
stands side by side in time meets the same noise. A block gives the median of its calls.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from statistics import median
from uuid import uuid4

import msgspec

from benchmarks.scale.databases import until_idle
from benchmarks.scale.flows import Order
from unbroken import Flows, Unbroken
from unbroken.model.clock import SystemClock
from unbroken.stores import open_store
from unbroken.stores.batch import Batch, Claim
from unbroken.stores.store import Store

STARTS = 60
CLAIMS_OF_ONE, CLAIMS_OF_MANY, MANY = 20, 1, 100
EFFECTS, CALLS, POLLS = 50, 10, 50
HOUR = 3_600_000_000


class Figure(msgspec.Struct, frozen=True):
    """Milliseconds of one call, a value for each turn; the goal is for the ratio."""

    what: str
    empty: list[float]
    full: list[float]
    at_most: float | None = 1.2

    @property
    def ratios(self) -> list[float]:
        """Full over empty, turn by turn."""
        return [full / empty for full, empty in zip(self.full, self.empty, strict=True)]


Block = Callable[[], Awaitable[list[float]]]
Blocks = dict[str, Block]


async def in_turns(empty: str, full: str, turns: int) -> list[Figure]:
    """Measure every figure so many times on both databases."""
    async with AsyncExitStack() as stack:
        sides = [await stack.enter_async_context(starting(url)) for url in (empty, full)]
        figures = await _measure(sides, turns)
    for url in (empty, full):
        await _end_what_was_claimed(url)
    async with AsyncExitStack() as stack:
        sides = [await stack.enter_async_context(running(url)) for url in (empty, full)]
        return figures + await _measure(sides, turns)


async def _measure(sides: list[Blocks], turns: int) -> list[Figure]:
    for blocks in sides:  # connections open, statements are prepared
        for block in blocks.values():
            await block()
    took: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in sides[0]}
    for turn in range(turns):
        for name, values in took.items():
            for side in (0, 1) if turn % 2 == 0 else (1, 0):
                values[side].append(median(await sides[side][name]()) * 1000)
    return [Figure(name, empty, full) for name, (empty, full) in took.items()]


@asynccontextmanager
async def starting(url: str) -> AsyncIterator[Blocks]:
    """Give the blocks for which nobody runs flows: a start, a claim, a poll."""
    client = Unbroken(url, execute=False)
    handle = client.register(Order())
    store = open_store(url, clock=SystemClock())
    async with client:
        await store.open()
        claimer = await Claimer.registered(store, handle.name)
        try:
            yield {
                "start of a flow, ids in order": lambda: _starts(handle, in_order=True),
                "start of a flow, ids at random": lambda: _starts(handle, in_order=False),
                "claim of one due flow": lambda: claimer.claims(CLAIMS_OF_ONE, 1),
                f"claim of {MANY} due flows": lambda: claimer.claims(CLAIMS_OF_MANY, MANY),
                "poll when nothing is due": claimer.polls,
            }
        finally:
            await claimer.leave()
            await store.close()


async def _starts(handle: Flows[[str, int], str], *, in_order: bool) -> list[float]:
    took: list[float] = []
    for number in range(STARTS):
        id_ = f"order-{time.time_ns()}" if in_order else str(uuid4())
        began = time.perf_counter()
        await handle.schedule(id_, "finish", number)
        took.append(time.perf_counter() - began)
    return took


class Claimer:
    """A replica without an engine: it claims what is due, and polls."""

    def __init__(self, store: Store, flow_type: str) -> None:
        self._store = store
        self._types = (flow_type,)
        self._id = str(uuid4())
        self._batch = 0

    @classmethod
    async def registered(cls, store: Store, flow_type: str) -> Claimer:
        """Take an id that nobody declares dead while it measures."""
        claimer = cls(store, flow_type)
        await store.register(claimer._id, HOUR)
        return claimer

    def _next(self, claim: Claim | None = None, *, last: bool = False) -> Batch:
        self._batch += 1
        return Batch(self._id, 0, self._batch, claim=claim, last=last)

    async def claims(self, times: int, limit: int) -> list[float]:
        """Claim so many flows so many times."""
        took: list[float] = []
        for _ in range(times):
            batch = self._next(Claim(self._types, limit))
            began = time.perf_counter()
            receipt = await self._store.commit(batch)
            took.append(time.perf_counter() - began)
            if receipt is None or len(receipt.claimed) != limit:
                raise SystemExit(f"a claim of {limit} flows gave {receipt}")
        return took

    async def polls(self) -> list[float]:
        """Ask what is due; nothing is."""
        took: list[float] = []
        for _ in range(POLLS):
            began = time.perf_counter()
            poll = await self._store.poll(self._id, self._types, ())
            took.append(time.perf_counter() - began)
            if poll.next_due is not None and poll.next_due <= poll.at:
                raise SystemExit("a flow is due that nobody expected")
        return took

    async def leave(self) -> None:
        """Leave what was claimed to the next replica."""
        await self._store.commit(self._next(last=True))


async def _end_what_was_claimed(url: str) -> None:
    app = Unbroken(url)
    app.register(Order())
    async with app:
        await until_idle(url)


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Blocks]:
    """Give the blocks for which flows run: a lone flow's effects, a start somewhere else."""
    app, client = Unbroken(url, suspend_after=timedelta(hours=1)), Unbroken(url, execute=False)
    orders = Order()
    handle, from_outside = app.register(orders), client.register(Order())
    async with app, client:

        async def effects() -> list[float]:
            await handle.run(str(uuid4()), "effects", EFFECTS)
            return orders.took[:]

        async def calls() -> list[float]:
            took: list[float] = []
            for number in range(CALLS):
                began_at = orders.began[number] = asyncio.get_running_loop().create_future()
                began = time.perf_counter()
                await from_outside.schedule(str(uuid4()), "begin", number)
                took.append(await began_at - began)
            await until_idle(url)
            return took

        yield {
            "effect of a lone flow": effects,
            "start elsewhere, until its first line": calls,
        }
