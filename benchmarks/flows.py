"""Flows a second: each has one effect, is started and awaited."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path

from benchmarks.effects import reserve, warm_up
from benchmarks.raw import RawDatabase, pages
from benchmarks.report import Line
from benchmarks.turns import Plan, in_fresh_process, run_in_fresh_process
from unbroken import Unbroken, capture, flow

# Callers at the same time, and how many flows each runs, one after the other.
SIZES = ((1, 400), (100, 40))
NOTE = "raw: insert the flow, insert the effect, update the flow; a transaction each"


@flow
async def one_effect(number: int) -> str:
    """Make one effect."""
    return await capture(reserve, number)


async def ours(database: Path, callers: int, count: int) -> float:
    """Run flows for each caller; give the seconds."""
    app = Unbroken(f"sqlite:///{database}", suspend_after=timedelta(minutes=5))
    prelude, handle = app.register(warm_up), app.register(one_effect)

    async def call(caller: int) -> None:
        for number in range(count):
            await handle.run(f"order-{caller}-{number}", number)

    async with app:
        await prelude.run("warm-up")
        began = time.perf_counter()
        await asyncio.gather(*(call(caller) for caller in range(callers)))
        return time.perf_counter() - began


def raw(database: Path, callers: int) -> float:
    """Insert, record, end: three transactions for a flow of each caller; give the seconds."""
    with RawDatabase(database) as bare:
        begun = pages(bare.rows("begun_flows", type="one_effect"), callers)
        effects = pages(bare.rows("effects_of", type="one_effect", kind="capture"), callers)
        ended = pages(bare.rows("ended_flows", type="one_effect"), callers)
        began = time.perf_counter()
        for first, second, third in zip(begun, effects, ended, strict=True):
            bare.write(("insert_flow", first))
            bare.write(("insert_effect", second))
            bare.write(("end_flow", third))
        return time.perf_counter() - began


def figure(plan: Plan) -> list[Line]:
    """Measure each number of callers in turns."""
    lines: list[Line] = []
    for callers, full in SIZES:
        count = plan.size(full, max(3, full // 10))
        flows = callers * count
        rates: list[float] = []
        limits: list[float] = []
        for folder in plan.turns():
            database = folder / "ours.db"
            rates.append(flows / run_in_fresh_process(ours, database, callers, count))
            limits.append(flows / in_fresh_process(raw, database, callers))
        what = f"flows of one effect, {callers} caller{'s' if callers > 1 else ''}"
        lines.append(Line(what, "flows/s", rates, limits, note=NOTE))
    return lines
