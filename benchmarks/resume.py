"""Suspended flows that go on: each gets a message, or all are due when the app starts."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec

from benchmarks.effects import reserve
from benchmarks.raw import RawDatabase, pages
from benchmarks.report import Line
from benchmarks.turns import Plan, in_fresh_process, run_in_fresh_process
from unbroken import Envelope, Unbroken, capture, flow, message

# Unbroken claims so many flows in one transaction.
PAGE = 200
AT_ONCE = timedelta(0)


class Paid(msgspec.Struct, frozen=True):
    """The message that each flow waits for."""

    amount: int


@flow
async def payment(number: int) -> int:
    """Make an effect, wait for a message out of memory, and end."""
    await capture(reserve, number)
    return (await message(Paid, suspend_after=AT_ONCE)).amount


async def suspend_flows(database: Path, count: int) -> None:
    """Leave a database with suspended flows behind."""
    app = Unbroken(f"sqlite:///{database}")
    handle = app.register(payment)
    async with app:
        await handle.bulk_schedule(handle.prepare(f"order-{n}", n) for n in range(count))
        await until_none(database, "owned_or_due")


async def append_messages(database: Path, count: int) -> None:
    """Make all flows due, by a client that runs none."""
    app = Unbroken(f"sqlite:///{database}", execute=False)
    handle = app.register(payment)
    async with app:
        await handle.send_messages(envelopes(count))


async def resume_by_messages(database: Path, count: int) -> float:
    """Send each flow a message; give the seconds until all have ended."""
    app = Unbroken(f"sqlite:///{database}")
    handle = app.register(payment)
    async with app:
        began = time.perf_counter()
        await handle.send_messages(envelopes(count))
        await until_none(database, "live")
        return time.perf_counter() - began


async def resume_by_restart(database: Path) -> float:
    """Start an app that finds all flows due; give the seconds until all have ended."""
    app = Unbroken(f"sqlite:///{database}")
    app.register(payment)
    began = time.perf_counter()
    async with app:
        await until_none(database, "live")
        return time.perf_counter() - began


def envelopes(count: int) -> list[Envelope]:
    """Address a message to each flow."""
    return [Envelope(f"order-{n}", Paid(n)) for n in range(count)]


async def until_none(database: Path, query: str) -> None:
    """Look from outside until no flow is found any more."""
    with closing(sqlite3.connect(database)) as connection:
        while connection.execute(STATEMENTS[query]).fetchone():
            await asyncio.sleep(0.01)
