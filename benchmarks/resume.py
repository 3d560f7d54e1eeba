"""Suspended flows that go on: each gets a message, or all are due when the app starts."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec

from benchmarks.effects import reserve
from benchmarks.raw import READING, RawDatabase, pages
from benchmarks.report import Line
from benchmarks.turns import Plan, in_fresh_process, run_in_fresh_process
from unbroken import Envelope, Unbroken, capture, flow, message

# Unbroken claims so many flows in one transaction.
PAGE = 200
OWNER = "0" * 32
AT_ONCE = timedelta(0)
SOON = 3_600_000_000


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
        await until_quiet(database)


async def make_due(database: Path, count: int) -> None:
    """Append a message to each flow, by a client that runs none."""
    app = Unbroken(f"sqlite:///{database}", execute=False)
    handle = app.register(payment)
    async with app:
        await handle.send_messages(envelopes(count))


async def ours_by_message(database: Path, count: int) -> float:
    """Send each flow a message; give the seconds until all have ended."""
    app = Unbroken(f"sqlite:///{database}")
    handle = app.register(payment)
    async with app:
        began = time.perf_counter()
        await handle.send_messages(envelopes(count))
        await until_quiet(database)
        return time.perf_counter() - began


async def ours_by_restart(database: Path) -> float:
    """Start an app that finds all flows due; give the seconds until all have ended."""
    app = Unbroken(f"sqlite:///{database}")
    app.register(payment)
    began = time.perf_counter()
    async with app:
        await until_quiet(database)
        return time.perf_counter() - began


def envelopes(count: int) -> list[Envelope]:
    """Address a message to each flow."""
    return [Envelope(f"order-{n}", Paid(n)) for n in range(count)]


async def until_quiet(database: Path) -> None:
    """Look from outside until no flow is owned or due soon any more."""
    with closing(sqlite3.connect(database)) as connection:
        soon = time.time_ns() // 1000 + SOON
        while True:
            if connection.execute(READING["owned_or_due"], {"soon": soon}).fetchone() is None:
                return
            await asyncio.sleep(0.02)


def raw(database: Path, *, with_messages: bool) -> float:
    """Append, claim with all that is needed to go on, record, end; give the seconds."""
    with RawDatabase(database) as bare:
        effects = bare.rows("effects_of", type="payment", kind="capture")
        bare.write(("insert_flow", bare.rows("begun_flows", type="payment")))
        bare.write(("insert_effect", effects))
        messages = bare.rows("messages_of", type="payment")
        recorded = bare.rows("effects_of", type="payment", kind="message")
        ended = bare.rows("ended_flows", type="payment")
        if not with_messages:
            _append(bare, messages)
        began = time.perf_counter()
        if with_messages:
            _append(bare, messages)
        turns = zip(*(pages(rows, PAGE) for rows in (messages, recorded, ended)), strict=True)
        for appended, records, ends in turns:
            numbers = [message[0] for message in appended]
            bare.write(
                ("own_flow", [(OWNER, number) for number in numbers]),
                reads=[(name, (number,)) for name in NEEDED for number in numbers],
            )
            bare.write(("insert_effect", records), ("consume_message", [m[:2] for m in appended]))
            bare.write(("end_flow", ends))
        return time.perf_counter() - began


NEEDED = ("read_flow", "read_effects", "read_messages")


def _append(bare: RawDatabase, messages: list[tuple[int, ...]]) -> None:
    for page in pages(messages, PAGE):
        due = [(message[5], message[0]) for message in page]
        bare.write(("make_due", due), ("insert_message", page))


def figure(plan: Plan) -> list[Line]:
    """Make the suspended flows once; measure on copies of them, in turns."""
    count = plan.size(10_000, 1_000)
    with plan.turn() as home:
        suspended, due = home / "suspended.db", home / "due.db"
        run_in_fresh_process(suspend_flows, suspended, count)
        shutil.copyfile(suspended, due)
        run_in_fresh_process(make_due, due, count)
        return [_by_message(plan, suspended, count), _by_restart(plan, due, count)]


def _by_message(plan: Plan, suspended: Path, count: int) -> Line:
    ours: list[float] = []
    limits: list[float] = []
    for folder in plan.turns():
        database = shutil.copyfile(suspended, folder / "ours.db")
        ours.append(run_in_fresh_process(ours_by_message, database, count))
        limits.append(in_fresh_process(raw, database, with_messages=True))
    return Line(f"{count:,} suspended flows, each gets a message: all ended", "s", ours, limits)


def _by_restart(plan: Plan, due: Path, count: int) -> Line:
    ours: list[float] = []
    limits: list[float] = []
    for folder in plan.turns():
        database = shutil.copyfile(due, folder / "ours.db")
        ours.append(run_in_fresh_process(ours_by_restart, database))
        limits.append(in_fresh_process(raw, database, with_messages=False))
    what = f"{count:,} suspended flows, all due at a restart: all ended"
    return Line(what, "s", ours, limits, note=NOTE)


NOTE = f"raw: {PAGE} flows to a transaction: (append,) claim and read, record, end"
