"""Unbroken, in its best mode, which is its only one: asyncio, default settings."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.rivals.work import (
    TRIED,
    Answer,
    Dormitory,
    Sizes,
    Span,
    Stopwatch,
    answer,
    rounds_told,
    run_program,
    say,
    until_told_to_end,
)
from unbroken import Unbroken, capture, flow, message, sleep, sleep_until

WARM_UP = 20
HOUR = timedelta(hours=1)
AT_ONCE = timedelta(0)
span = Span()


async def reserve(number: int) -> str:
    """Stand for an outside call that answers at once."""
    return answer(number)


@flow
async def one_effect(number: int) -> str:
    """Make one effect."""
    return await capture(reserve, number)


@flow
async def warm_up() -> None:
    """Let connections open and statements be prepared."""
    for number in range(WARM_UP):
        await capture(reserve, number)


@flow
async def many_effects(count: int) -> int:
    """Make effects one after the other."""
    span.begin()
    for number in range(count):
        await capture(reserve, number)
    span.end()
    return count


async def prepare(url: str, _: Sizes) -> Answer:
    """Bring the schema into a database."""
    async with Unbroken(url):
        return {}


async def flows(url: str, sizes: Sizes) -> Answer:
    """Start flows of one effect and await each."""
    app = Unbroken(url)
    handle = app.register(one_effect)

    async def call(caller: int, count: int, name: str) -> None:
        for number in range(count):
            await handle.run(f"{name}-{caller}-{number}", number)

    async def call_all(count: int, name: str) -> None:
        await asyncio.gather(*(call(caller, count, name) for caller in range(sizes.callers)))

    async with app:
        await call_all(1, "warm-up")
        stopwatch = Stopwatch()
        await call_all(sizes.flows // sizes.callers, "order")
        return stopwatch.told()


async def many(url: str, sizes: Sizes) -> Answer:
    """Run flows side by side, each with its effects."""
    app = Unbroken(url)
    prelude, handle = app.register(warm_up), app.register(many_effects)
    async with app:
        names = [f"{sizes.effects}-{number}" for number in range(sizes.side_by_side)]
        await asyncio.gather(*(prelude.run(f"warm-up-{name}") for name in names))
        runs = (handle.run(f"order-{name}", sizes.effects) for name in names)
        await asyncio.gather(*runs)
    return span.told()


@dataclass(frozen=True)
class Ball:
    """Flies between two flows."""

    number: int


@flow
class Player:
    """Hits the ball back, and says how long each round took."""

    def __init__(self, app: Unbroken, rounds: int) -> None:
        self._send = app.register(self).send_message
        self._rounds = rounds
        self.took: list[float] = []

    async def run(self, other: str, serves: bool) -> int:  # noqa: FBT001
        """Play."""
        for number in range(self._rounds):
            began = time.perf_counter()
            if serves:
                await capture(f"hit {number}", self._send, other, Ball(number))
            await message(Ball)
            if not serves:
                await capture(f"hit {number}", self._send, other, Ball(number))
            self.took.append(time.perf_counter() - began)
        return self._rounds


async def play(url: str, sizes: Sizes) -> Answer:
    """Play one side; the side that serves measures."""
    serves = sizes.side == "ping"
    app = Unbroken(url)
    player = Player(app, sizes.rounds)
    handle = app.register(player)
    async with app:
        if serves:
            await handle.run("ping", "pong", serves)
        else:
            scheduled = await handle.schedule("pong", "ping", serves)
            say({})
            await scheduled.completion()
    return rounds_told(player.took[1:])


@flow
class Sleeper:
    """Sleeps until a moment."""

    def __init__(self) -> None:
        self.dormitory = Dormitory(0)
        self.all_up = asyncio.Event()
        self._met: set[int] = set()

    async def run(self, number: int, wakes_at: float) -> None:
        """Sleep, and be up."""
        if wakes_at and number not in self._met:
            self._met.add(number)
            self.dormitory.goes_to_sleep()
        await sleep_until(datetime.fromtimestamp(wakes_at, UTC))
        if wakes_at:
            self.dormitory.is_up()
            if self.dormitory.all_up:
                self.all_up.set()


async def wake(url: str, sizes: Sizes, stay: timedelta | None = None) -> Answer:
    """Let flows sleep, weigh them, and wait until the last is up."""
    count = sizes.sleepers
    app = Unbroken(url) if stay is None else Unbroken(url, suspend_after=stay)
    sleeper = Sleeper()
    handle = app.register(sleeper)
    async with app:
        began = time.perf_counter()
        await asyncio.gather(*(handle.run(f"try-{n}", n, 0) for n in range(TRIED)))
        each = (time.perf_counter() - began) / TRIED
        dormitory = sleeper.dormitory = Dormitory(count, sizes.lead, each)
        starts = (handle.prepare(f"sleep-{n}", n, dormitory.wakes_at) for n in range(count))
        await handle.bulk_schedule(starts)
        await asyncio.sleep(max(0.0, dormitory.time_left - 1))
        weight = dormitory.weigh()
        await sleeper.all_up.wait()
    return dormitory.told(weight)


@flow
async def resting() -> None:
    """Sleep for longer than anybody looks."""
    await sleep(HOUR, suspend_after=AT_ONCE)


async def rest(url: str, sizes: Sizes) -> Answer:
    """Have flows that sleep, and nothing else to do."""
    app = Unbroken(url)
    handle = app.register(resting)
    async with app:
        await handle.bulk_schedule(handle.prepare(f"rest-{n}") for n in range(sizes.idle))
        await asyncio.sleep(2)
        say({})
        await asyncio.to_thread(until_told_to_end)
    return {}


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        run_program(
            {
                "prepare": lambda url, sizes: asyncio.run(prepare(url, sizes)),
                "flows": lambda url, sizes: asyncio.run(flows(url, sizes)),
                "lone": lambda url, sizes: asyncio.run(many(url, sizes)),
                "many": lambda url, sizes: asyncio.run(many(url, sizes)),
                "message": lambda url, sizes: asyncio.run(play(url, sizes)),
                "sleepers": lambda url, sizes: asyncio.run(wake(url, sizes)),
                "warm sleepers": lambda url, sizes: asyncio.run(wake(url, sizes, HOUR)),
                "suspended sleepers": lambda url, sizes: asyncio.run(wake(url, sizes, AT_ONCE)),
                "idle": lambda url, sizes: asyncio.run(rest(url, sizes)),
            }
        )
