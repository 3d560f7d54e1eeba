"""Many at once: timers of one second, messages to one flow, one message to each of many flows.

Each is a coroutine for a process of its own, and counts in the database what became of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import msgspec

from benchmarks.scale.databases import STATEMENTS, clean, connected, until_idle
from benchmarks.scale.flows import Note, Order, Paid, Reader, Sleeper
from unbroken import Delivery, Envelope, Flows, Unbroken

AT_ONCE = timedelta(0)
PAGES, LARGEST_PAGE = 20, 1_000
MOST_TRIED = 500
SLOWER = 2.0  # times as long as tried it may take until all sleep
SPARE = 2.0
WITHIN = 60.0  # seconds in which the database agrees that all have ended
READERS = ("for_each", "async for")

Connection: TypeAlias = "asyncpg.Connection[Any]"


class Drained(msgspec.Struct, frozen=True):
    """What became of the timers; seconds from the first deadline to the last end."""

    timers: int
    done: int
    early: int
    twice: int
    again: int
    seconds: float
    late: float


class Read(msgspec.Struct, frozen=True):
    """What became of the messages to one flow: µs for each of the first tenth, and of the last."""

    how: str
    messages: int
    consumed: int
    in_order: bool
    sent_first: float
    sent_last: float
    read_first: float
    read_last: float
    loading: float


class Woken(msgspec.Struct, frozen=True):
    """What became of flows that each got one message; seconds until the last had ended."""

    flows: int
    done: int
    consumed: int
    recorded: int
    again: int
    sending: float
    seconds: float


async def timers(url: str, count: int) -> Drained:
    """Let flows sleep until moments within one second, and see when each wakes."""
    sleeper = Sleeper()
    async with connected(url) as connection:
        seconds = await _seconds_to_bed(url, connection, min(count, MOST_TRIED))
        newest = await connection.fetchval(STATEMENTS["newest"])
        app = Unbroken(url, suspend_after=AT_ONCE)
        handle = app.register(sleeper)
        begin = datetime.now(UTC) + timedelta(seconds=count * seconds * SLOWER + SPARE)
        async with app:
            moments = (begin + timedelta(seconds=1) * number / count for number in range(count))
            ids = (f"sleeper-{newest}-{number}" for number in range(count))
            starts = (
                handle.prepare(id_, number, due)
                for number, (id_, due) in enumerate(zip(ids, moments, strict=True))
            )
            await handle.bulk_schedule(starts)
            while (asleep := await connection.fetchval(STATEMENTS["in_bed"], newest)) < count:
                if datetime.now(UTC) > begin:
                    raise SystemExit(f"only {asleep} of {count} slept when the first had to wake")
                await asyncio.sleep(0.2)
            await _all(lambda: len(sleeper.woken), count, "timers")
            await _until(connection, count, "up", newest)
            told = await connection.fetchrow(STATEMENTS["slept"], newest)
    assert told is not None
    twice = sleeper.woken_twice
    return Drained(
        count, told["flows"], told["early"], twice, told["again"], told["seconds"], told["late"]
    )


async def _seconds_to_bed(url: str, connection: Connection, tried: int) -> float:
    """Try how long a flow takes from its start until it sleeps, among many."""
    newest = await connection.fetchval(STATEMENTS["newest"])
    app = Unbroken(url, suspend_after=AT_ONCE)
    handle = app.register(Sleeper())
    due = datetime.now(UTC) + timedelta(days=1000)
    async with app:
        began = time.perf_counter()
        await handle.bulk_schedule(
            handle.prepare(f"try-{newest}-{number}", number, due) for number in range(tried)
        )
        await _until(connection, tried, "in_bed", newest)
        return (time.perf_counter() - began) / tried


async def _all(counted: Callable[[], int], count: int, what: str) -> None:
    """Wait until so many are counted in this process; end the program if it stands still."""
    known, late = 0, time.perf_counter() + WITHIN
    while (found := counted()) < count:
        if found > known:
            known, late = found, time.perf_counter() + WITHIN
        if time.perf_counter() > late:
            raise SystemExit(f"{what}: {found} of {count}, and no more in {WITHIN:.0f} seconds")
        await asyncio.sleep(0.05)


async def _until(connection: Connection, count: int, name: str, value: object) -> None:
    """Wait until a query counts so many."""
    late = time.perf_counter() + WITHIN
    while (found := await connection.fetchval(STATEMENTS[name], value)) < count:
        if time.perf_counter() > late:
            raise SystemExit(f"{name}: {found} of {count} after {WITHIN:.0f} seconds")
        await asyncio.sleep(0.1)


async def one_inbox(url: str, count: int, how: str) -> Read:
    """Send many messages to one flow that does not run yet; then let it read them all."""
    id_ = f"{how} {time.time_ns()}"
    sent = await _fill_inbox(url, id_, count, how)
    await clean(url)
    reader = Reader()
    app = Unbroken(url)
    handle = app.register(reader)
    began = time.perf_counter()
    async with app:
        await handle.completion(id_)
    async with connected(url) as connection:
        told = await connection.fetchrow(STATEMENTS["read"], handle.name, id_)
    assert told is not None
    tenth = max(1, count // 10)
    return Read(
        how,
        told["messages"],
        told["consumed"],
        in_order=reader.seen == list(range(count)),
        sent_first=_each(sent, len(sent) // 10 or 1, _page(count), last=False),
        sent_last=_each(sent, len(sent) // 10 or 1, _page(count), last=True),
        read_first=_each(reader.at, tenth, 1, last=False),
        read_last=_each(reader.at, tenth, 1, last=True),
        loading=reader.at[0] - began,
    )


async def _fill_inbox(url: str, id_: str, count: int, how: str) -> list[float]:
    """Give the moment before the first page and behind each."""
    client = Unbroken(url, execute=False)
    handle = client.register(Reader())
    async with client:
        await handle.schedule(id_, how, count)
        at = [time.perf_counter()]
        for first in range(0, count, _page(count)):
            numbers = range(first, min(first + _page(count), count))
            await _send(handle, [Envelope(id_, Note(number)) for number in numbers])
            at.append(time.perf_counter())
    return at


def _page(count: int) -> int:
    """Give how many messages are sent at a time."""
    return min(LARGEST_PAGE, max(1, count // PAGES))


def _each(at: Sequence[float], moments: int, size: int, *, last: bool) -> float:
    """Give the microseconds for each message between the first moments or the last ones."""
    many = min(moments, len(at) - 1)
    took = at[-1] - at[-1 - many] if last else at[many] - at[0]
    return took / (many * size) * 1e6


async def _send(handle: Flows[Any, Any], envelopes: Sequence[Envelope]) -> None:
    answers = await handle.send_messages(envelopes)
    if set(answers) != {Delivery.ACCEPTED}:
        raise SystemExit(f"messages were not accepted: {set(answers)}")


async def one_message_each(url: str, count: int) -> Woken:
    """Send one message to each of many suspended flows, which then end."""
    orders = Order()
    app = Unbroken(url)
    handle = app.register(orders)
    async with connected(url) as connection:
        waiting = await connection.fetch(STATEMENTS["waiting"], count)
        numbers = [row["number"] for row in waiting]
        if len(numbers) != count:
            raise SystemExit(f"only {len(numbers)} flows wait for a message, {count} are needed")
        async with app:
            began = await connection.fetchval(STATEMENTS["time"])
            first_sent = time.perf_counter()
            for first in range(0, count, _page(count)):
                page = waiting[first : first + _page(count)]
                await _send(handle, [Envelope(row["id"], Paid(1)) for row in page])
            sending = time.perf_counter() - first_sent
            await _all(lambda: orders.paid, count, "flows with their message")
            await _until(connection, count, "ended", numbers)
        told = await connection.fetchrow(STATEMENTS["woken"], numbers, began)
    await until_idle(url)
    assert told is not None
    return Woken(
        count,
        told["flows"],
        told["consumed"],
        told["recorded"],
        told["again"],
        sending,
        told["seconds"],
    )
