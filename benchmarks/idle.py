"""SQL statements of an app that has nothing to do but to be there.

Counted on every connection of the process, as SQLite begins them: BEGIN and COMMIT count too.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.report import Goal, Line
from benchmarks.resume import until_quiet
from benchmarks.turns import Plan, run_in_fresh_process
from unbroken import Unbroken, flow, sleep


@flow
async def sleeping() -> None:
    """Sleep out of memory for a day."""
    await sleep(timedelta(days=1), suspend_after=timedelta(0))


async def statements(database: Path, flows: int, seconds: float) -> Counter[str]:
    """Count the statements of so many seconds, by their first word."""
    counted: Counter[str] = Counter()
    sqlite3.connect = traced(sqlite3.connect, lambda text: counted.update([text.split()[0]]))
    app = Unbroken(f"sqlite:///{database}")
    handle = app.register(sleeping)
    async with app:
        await handle.bulk_schedule(handle.prepare(f"sleep-{n}") for n in range(flows))
        await until_quiet(database)
        await asyncio.sleep(min(seconds, 10.0))
        counted.clear()
        await asyncio.sleep(seconds)
        return Counter(counted)


def traced(
    connect: Callable[..., sqlite3.Connection], count: Callable[[str], None]
) -> Callable[..., sqlite3.Connection]:
    """Give a `connect` whose connections tell of each statement they begin."""

    def connect_traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(count)
        return connection

    return connect_traced


def figure(plan: Plan) -> list[Line]:
    """Measure once, over some beats and polls."""
    flows, seconds = plan.size(10_000, 500), plan.size(40, 5)
    with plan.turn() as folder:
        counted = run_in_fresh_process(statements, folder / "idle.db", flows, seconds)
    each = ", ".join(f"{count} {word}" for word, count in sorted(counted.items()))
    return [
        Line(
            f"statements while {flows:,} flows sleep",
            "statements/s",
            [counted.total() / seconds],
            goal=Goal(at_most=1, of_ratio=False),
            note=f"in {seconds} s, both connections, BEGIN and COMMIT included: {each or 'none'}",
        )
    ]
