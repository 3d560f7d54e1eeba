"""Memory of waiting flows: what the process grows by for each, warm and suspended.

Each flow has a typed parameter, two effects, and waits for a message with a time-out.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import msgspec

from benchmarks.report import Goal, Line
from benchmarks.resume import until_quiet
from benchmarks.turns import Plan, run_in_fresh_process
from unbroken import Unbroken, capture, flow, message

PAGE = 1000
STATM = Path("/proc/self/statm")
DAY = timedelta(days=1)


class Order(msgspec.Struct, frozen=True):
    """The parameter."""

    id: str
    customer: str
    total: int


class Paid(msgspec.Struct, frozen=True):
    """The message that never comes."""

    amount: int


async def reserve(order: str) -> str:
    """Stand for an outside call."""
    return f"reserved {order}"


@flow
class Waiting:
    """Counts those of its flows that are about to wait."""

    def __init__(self) -> None:
        self._missing = 0
        self._complete = asyncio.Event()

    async def arrive(self, flows: int) -> None:
        """Return when so many more flows are about to wait."""
        self._missing = flows
        self._complete.clear()
        await self._complete.wait()

    async def run(self, order: Order) -> str | None:
        """Make two effects and wait."""
        await capture("reserve", reserve, order.id)
        await capture("announce", reserve, order.id)
        self._missing -= 1
        if not self._missing:
            self._complete.set()
        paid = await message(Paid, timeout=DAY)
        return None if paid is None else order.id


@flow
async def last_in_line() -> None:
    """End after all that was written before."""


async def ours(database: Path, before: int, count: int, *, warm: bool) -> float:
    """Give the bytes that the process grows by for each flow."""
    app = Unbroken(
        f"sqlite:///{database}",
        suspend_after=DAY if warm else timedelta(0),
        warm_limit=2 * count,
        concurrency=2 * count,
    )
    waiting = Waiting()
    handle, last = app.register(waiting), app.register(last_in_line)

    async def add(orders: list[Order]) -> None:
        starts = (handle.schedule(order.id, order) for order in orders)
        await asyncio.gather(waiting.arrive(len(orders)), *starts)
        await last.run(f"after-{orders[0].id}")
        if not warm:
            await until_quiet(database)

    async with app:
        return await growth(add, before, count)


async def raw(before: int, count: int) -> float:
    """Give the bytes for each bare task that waits for a future with a time limit."""
    tasks: list[asyncio.Task[str | None]] = []

    async def add(orders: list[Order]) -> None:
        tasks.extend(asyncio.create_task(wait_bare(order)) for order in orders)
        await asyncio.sleep(0)

    return await growth(add, before, count)


async def wait_bare(order: Order) -> str | None:
    """Wait as the flow does, without being durable."""
    await reserve(order.id)
    await reserve(order.id)
    loop = asyncio.get_running_loop()
    paid: asyncio.Future[None] = loop.create_future()
    loop.call_later(DAY.total_seconds(), paid.set_result, None)
    return None if await paid is None else order.id


async def growth(add: Callable[[list[Order]], Awaitable[None]], before: int, count: int) -> float:
    """Add flows until every cache is full, then measure over so many more; bytes for each."""
    for page in range(before // PAGE):
        await add(_orders(page))
    first = resident_bytes()
    for page in range(before // PAGE, (before + count) // PAGE):
        await add(_orders(page))
    return (resident_bytes() - first) / count


def _orders(page: int) -> list[Order]:
    return [Order(f"order-{page}-{n}", "customer", 5) for n in range(PAGE)]


def resident_bytes() -> int:
    """Give the resident memory of this process; where the system does not say, its peak."""
    gc.collect()
    if STATM.exists():
        return int(STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def figure(plan: Plan) -> list[Line]:
    """Measure once: memory is not noisy."""
    before, count = plan.size(15_000, 2_000), plan.size(100_000, 5_000)
    with plan.turn() as folder:
        warm = run_in_fresh_process(ours, folder / "warm.db", before, count, warm=True)
        bare = run_in_fresh_process(raw, before, count)
        suspended = run_in_fresh_process(ours, folder / "suspended.db", before, count, warm=False)
    what = f"memory of a flow that waits, over {count:,}"
    return [
        Line(f"{what}: warm", "bytes", [warm], [bare], WARM, "raw: a bare task, future and timer"),
        Line(f"{what}: suspended", "bytes", [suspended], goal=SUSPENDED),
    ]


# Memory comes in pages and arenas: less than this for each flow is no growth.
SUSPENDED = Goal(at_most=50, of_ratio=False)
WARM = Goal(at_most=4.3 * 1024, of_ratio=False)
