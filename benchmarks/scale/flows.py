"""The flows that are measured. History is made of the first ones, `Order`."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from unbroken import capture, flow, for_each, message, messages, sleep, sleep_until
from unbroken.model.clock import instant_of

ANSWER = "reserved " * 5
YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Paid:
    """Comes from outside, once for each order."""

    amount: int


@dataclass(frozen=True)
class Note:
    """One of many messages to one flow."""

    number: int


async def reserve(number: int) -> str:
    """Stand for an outside call that answers at once."""
    return f"{ANSWER}{number:05}"


@flow
class Order:
    """Finishes, sleeps, waits for a message, makes effects: whatever its caller measures."""

    def __init__(self) -> None:
        self.began: dict[int, asyncio.Future[float]] = {}
        self.took: list[float] = []
        self.paid = 0

    async def run(self, what: str, number: int) -> str:
        """Do one of these things."""
        match what:
            case "wait":
                await capture(reserve, number)
                await message(Paid)
                self.paid += 1
            case "sleep":
                await sleep(YEAR)
            case "effects":
                await self._make_effects(number)
            case "begin":
                self.began[number].set_result(time.perf_counter())
            case _:
                await capture(reserve, number)
        return f"{ANSWER}{number:05}"

    async def _make_effects(self, count: int) -> None:
        self.took.clear()
        for number in range(count):
            began = time.perf_counter()
            await capture(reserve, number)
            self.took.append(time.perf_counter() - began)


@flow
class Sleeper:
    """Sleeps until a moment, and records when that was and when it woke."""

    def __init__(self) -> None:
        self.woken: Counter[int] = Counter()

    async def run(self, number: int, due: datetime) -> None:
        """Sleep and be up."""
        await sleep_until(due)
        woke = time.time_ns() // 1000
        await capture("up", self._be_up, number, instant_of(due), woke)

    async def _be_up(self, number: int, due: int, woke: int) -> list[int]:
        self.woken[number] += 1
        return [due, woke]

    @property
    def woken_twice(self) -> int:
        """How many ran more than once behind their sleep."""
        return sum(1 for times in self.woken.values() if times > 1)


@flow
class Reader:
    """Takes one message after the other, with `for_each` or `async for`."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.at: list[float] = []

    async def run(self, how: str, count: int) -> int:
        """Take so many messages."""
        if how == "for_each":
            await for_each(messages(Note).take(count), self._take)
        else:
            async for note in messages(Note).take(count):
                await self._take(note)
        return count

    async def _take(self, note: Note) -> None:
        self.seen.append(note.number)
        self.at.append(time.perf_counter())
