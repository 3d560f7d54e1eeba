# pyright: reportMissingImports=false
"""Absurd with coroutines: workers that share one event loop, each with a connection of its own.

One connection carries one statement at a time, so that several workers in a process go faster than
one. Results are asked for at short intervals: the library's own wait backs off to a second.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from absurd_sdk import AsyncAbsurd, AsyncTaskContext

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

# Tried: 1 x 100 to 16 x 7. A claim is the dear part, so that few workers with large batches win.
WORKERS = 4
CONCURRENCY = 25
CLAIM = 600  # seconds: nothing here shall be claimed twice
POLL = 0.02
POLL_BY_DEFAULT = 0.25
DONE = ("completed", "failed", "cancelled")
HOUR = 3_600
WARM_UP = 20
span = Span()
took: list[float] = []


async def one_effect(number: int, ctx: AsyncTaskContext) -> str:
    """Make one effect."""
    return await ctx.step("reserve", lambda: reserve(number))


async def many_effects(count: int, ctx: AsyncTaskContext) -> int:
    """Make effects one after the other."""
    span.begin()
    for number in range(count):
        await ctx.step("reserve", lambda number=number: reserve(number))
    span.end()
    return count


async def reserve(number: int) -> str:
    """Stand for an outside call that answers at once."""
    return answer(number)


async def warm_up(_: None, ctx: AsyncTaskContext) -> None:
    """Let statements be prepared."""
    for number in range(WARM_UP):
        await ctx.step("reserve", lambda number=number: reserve(number))


class Ward:
    """Where the sleepers of this process sleep."""

    dormitory: Dormitory
    all_up: asyncio.Event
    asleep: set[int]


async def sleeper(task: tuple[int, float], ctx: AsyncTaskContext) -> None:
    """Sleep, and be up."""
    number, wakes_at = task
    if number not in Ward.asleep:
        Ward.asleep.add(number)
        Ward.dormitory.goes_to_sleep()
    await ctx.sleep_until("until", wakes_at)
    Ward.dormitory.is_up()
    if Ward.dormitory.all_up:
        Ward.all_up.set()


async def resting(_: None, ctx: AsyncTaskContext) -> None:
    """Sleep for longer than anybody looks."""
    await ctx.sleep_for("rest", HOUR)


TASKS = {
    "one_effect": one_effect,
    "many_effects": many_effects,
    "warm_up": warm_up,
    "sleeper": sleeper,
    "resting": resting,
}


def client(url: str, queue: str = "default") -> AsyncAbsurd:
    """Make a client that knows every task; it connects when it is used."""
    app = AsyncAbsurd(url, queue_name=queue)
    for name, task in TASKS.items():
        app.register_task(name)(task)
    return app


@asynccontextmanager
async def working(
    url: str, *, workers: int = WORKERS, concurrency: int = CONCURRENCY, poll: float = POLL
) -> AsyncIterator[AsyncAbsurd]:
    """Start workers; give a client of its own connection to start tasks with."""
    apps = [client(url) for _ in range(workers)]
    loops = [
        asyncio.create_task(
            app.start_worker(
                worker_id=f"{os.getpid()}-{number}",
                claim_timeout=CLAIM,
                concurrency=concurrency,
                poll_interval=poll,
            )
        )
        for number, app in enumerate(apps)
    ]
    starter = client(url)
    try:
        yield starter
    finally:
        for app in apps:
            app.stop_worker()
        await asyncio.gather(*loops)
        for app in (*apps, starter):
            await app.close()


async def ended(app: AsyncAbsurd, task: str) -> None:
    """Wait for a result."""
    while True:
        snapshot = await app.fetch_task_result(task)
        if snapshot is not None and snapshot.state in DONE:
            assert snapshot.state == "completed", snapshot
            return
        await asyncio.sleep(0.02)


async def run_all(app: AsyncAbsurd, name: str, params: Sequence[object]) -> None:
    """Start tasks, then wait for each in the order of their start."""
    tasks = [(await app.spawn(name, param))["task_id"] for param in params]
    for task in tasks:
        await ended(app, task)


async def flows(url: str, sizes: Sizes) -> Answer:
    """Start all tasks of one step, and await all: faster than callers that take turns."""
    async with working(url) as app:
        await run_all(app, "warm_up", [None] * 2 * WORKERS)
        stopwatch = Stopwatch()
        await run_all(app, "one_effect", list(range(sizes.flows)))
        return stopwatch.told()


async def lone(url: str, sizes: Sizes) -> Answer:
    """Run one task by one worker: the others would only be in its way."""
    async with working(url, workers=1, concurrency=1) as app:
        await run_all(app, "warm_up", [None])
        await run_all(app, "many_effects", [sizes.effects])
    return span.told()


async def many(url: str, sizes: Sizes) -> Answer:
    """Run tasks side by side, each with its steps."""
    async with working(url) as app:
        await run_all(app, "warm_up", [None] * 2 * WORKERS)
        await run_all(app, "many_effects", [sizes.effects] * sizes.side_by_side)
    return span.told()


async def play(url: str, sizes: Sizes) -> Answer:
    """Play one side, on a queue of its own; the side that serves measures."""
    serves = sizes.side == "ping"
    other = "pong" if serves else "ping"
    app, sender = client(url, sizes.side), client(url, sizes.side)
    began: dict[int, float] = {}
    await app.create_queue(sizes.side)

    async def hit(number: int) -> int:
        await sender.emit_event(f"ball-{number}", number, queue_name=other)
        return number

    @app.register_task("player")
    async def player(_: None, ctx: AsyncTaskContext) -> None:
        for number in range(sizes.rounds):
            began.setdefault(number, time.perf_counter())
            if serves:
                await ctx.step(f"hit-{number}", lambda number=number: hit(number))
            assert await ctx.await_event(f"ball-{number}") == number
            if not serves:
                await ctx.step(f"hit-{number}", lambda number=number: hit(number))
            if number == len(took):
                took.append(time.perf_counter() - began[number])

    worker = asyncio.create_task(app.start_worker(claim_timeout=CLAIM, poll_interval=0.005))
    task = (await app.spawn("player", None))["task_id"]
    if not serves:
        say({})
    await ended(app, task)
    app.stop_worker()
    await worker
    await app.close()
    await sender.close()
    return rounds_told(took[1:])


async def wake(url: str, sizes: Sizes) -> Answer:
    """Let tasks sleep, weigh the process, and wait until the last is up."""
    async with working(url) as app:
        Ward.dormitory, Ward.asleep, Ward.all_up = Dormitory(TRIED), set(), asyncio.Event()
        began = time.perf_counter()
        await run_all(app, "sleeper", [(number, 0) for number in range(TRIED)])
        each = (time.perf_counter() - began) / TRIED
        Ward.asleep, Ward.all_up = set(), asyncio.Event()
        dormitory = Ward.dormitory = Dormitory(sizes.sleepers, sizes.lead, each)
        for number in range(sizes.sleepers):
            await app.spawn("sleeper", (number, dormitory.wakes_at))
        await asyncio.sleep(max(0.0, dormitory.time_left - 1))
        weight = dormitory.weigh()
        await Ward.all_up.wait()
    return dormitory.told(weight)


async def rest(url: str, sizes: Sizes) -> Answer:
    """Have tasks that sleep, and nothing else to do: one worker, as it comes."""
    async with working(url, workers=1, poll=POLL_BY_DEFAULT) as app:
        for _ in range(sizes.idle):
            await app.spawn("resting", None)
        await asyncio.sleep(3)
        say({})
        await asyncio.to_thread(until_told_to_end)
    return {}


if __name__ == "__main__":
    run_program(
        {
            "flows": lambda url, sizes: asyncio.run(flows(url, sizes)),
            "lone": lambda url, sizes: asyncio.run(lone(url, sizes)),
            "many": lambda url, sizes: asyncio.run(many(url, sizes)),
            "message": lambda url, sizes: asyncio.run(play(url, sizes)),
            "sleepers": lambda url, sizes: asyncio.run(wake(url, sizes)),
            "idle": lambda url, sizes: asyncio.run(rest(url, sizes)),
        }
    )
