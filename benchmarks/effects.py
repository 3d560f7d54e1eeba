"""Effects a second, for one flow and for many at the same time."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.raw import RawDatabase, pages
from benchmarks.report import Goal, Line
from benchmarks.turns import Plan, in_fresh_process, run_in_fresh_process
from unbroken import Unbroken, capture, flow

ANSWER = "reserved " * 5
WARM_UP = 20

# Flows at the same time, and how many effects each has.
SIZES = ((1, 1000), (10, 400), (100, 100), (1000, 30))


async def reserve(number: int) -> str:
    """Stand for an outside call that answers at once."""
    return f"{ANSWER}{number:05}"


@flow
async def warm_up() -> None:
    """Let threads begin and statements be prepared."""
    for number in range(WARM_UP):
        await capture(reserve, number)


@flow
class Reservations:
    """Makes many effects, from the moment when all flows are there."""

    def __init__(self, flows: int) -> None:
        self._missing = flows
        self._complete = asyncio.Event()
        self.began = self.ended = 0.0

    async def run(self, count: int) -> int:
        """Make effects one after the other."""
        self._missing -= 1
        if not self._missing:
            self.began = time.perf_counter()
            self._complete.set()
        await self._complete.wait()
        for number in range(count):
            await capture(reserve, number)
        self.ended = time.perf_counter()
        return count


class Turn(msgspec.Struct, frozen=True):
    """What one turn of ours took, in seconds."""

    elapsed: float
    cpu: float


async def ours(database: Path, flows: int, count: int) -> Turn:
    """Run flows at the same time; they stay in memory and end."""
    app = Unbroken(
        f"sqlite:///{database}", suspend_after=timedelta(minutes=5), concurrency=2 * flows
    )
    reservations = Reservations(flows)
    prelude, handle = app.register(warm_up), app.register(reservations)
    async with app:
        await prelude.run("warm-up")
        began = time.process_time()
        await asyncio.gather(*(handle.run(f"order-{n}", count) for n in range(flows)))
        cpu = time.process_time() - began
    return Turn(reservations.ended - reservations.began, cpu)


def raw(database: Path, flows: int) -> float:
    """Write the same effects, one of each flow to a transaction; give the seconds."""
    with RawDatabase(database) as bare:
        for row in bare.rows("effects_of", type="warm_up", kind="capture"):
            bare.write(("insert_effect", [row]))
        effects = bare.rows("effects_of", type="Reservations", kind="capture")
        began = time.perf_counter()
        for page in pages(effects, flows):
            bare.write(("insert_effect", page))
        return time.perf_counter() - began


def figure(plan: Plan) -> list[Line]:
    """Measure each size in turns."""
    lines: list[Line] = []
    for flows, full in SIZES:
        count = plan.size(full, max(3, full // 10))
        turns: list[Turn] = []
        limits: list[float] = []
        for folder in plan.turns():
            database = folder / "ours.db"
            turns.append(run_in_fresh_process(ours, database, flows, count))
            limits.append(in_fresh_process(raw, database, flows))
        lines += _lines(flows, flows * count, turns, limits)
    return lines


def _lines(flows: int, effects: int, turns: list[Turn], limits: list[float]) -> list[Line]:
    cpu = median(turn.cpu for turn in turns) / effects * 1e6
    rates = Line(
        f"effects, {flows} flow{'s' if flows > 1 else ''} at a time",
        "effects/s",
        [effects / turn.elapsed for turn in turns],
        [effects / seconds for seconds in limits],
        goal=Goal(at_least=0.5) if flows == 100 else None,
        note=f"{cpu:.0f} µs of CPU an effect, both threads together",
    )
    if flows > 1:
        return [rates]
    lone = Line(
        "an effect of a lone flow",
        "µs",
        [turn.elapsed / effects * 1e6 for turn in turns],
        [seconds / effects * 1e6 for seconds in limits],
        goal=Goal(at_most=1.5),
        note="raw: one INSERT and its COMMIT",
    )
    return [lone, rates]
