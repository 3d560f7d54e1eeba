# pyright: reportMissingImports=false
"""DBOS with coroutines: workflows are tasks of one event loop, the database is in its threads."""

from __future__ import annotations

import asyncio
import time

from dbos import DBOS, SetWorkflowID

from benchmarks.rivals.contenders.dbos_app import running
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

WARM_UP = 20
HOUR = 3_600
STARTERS = 100
span = Span()
took: list[float] = []


@DBOS.step()
async def reserve(number: int) -> str:
    """Stand for an outside call that answers at once."""
    return answer(number)


@DBOS.workflow()
async def one_effect(number: int) -> str:
    """Make one effect."""
    return await reserve(number)


@DBOS.workflow()
async def warm_up() -> None:
    """Let connections and threads be opened."""
    for number in range(WARM_UP):
        await reserve(number)


@DBOS.workflow()
async def many_effects(count: int) -> int:
    """Make effects one after the other."""
    span.begin()
    for number in range(count):
        await reserve(number)
    span.end()
    return count


def prepare(url: str, _: Sizes) -> Answer:
    """Bring the schema into a database."""
    with running(url):
        return {}


async def flows(url: str, sizes: Sizes) -> Answer:
    """Call workflows of one step: the caller awaits each directly, no handle is polled."""

    async def call(count: int) -> None:
        for number in range(count):
            await one_effect(number)

    async def call_all(count: int) -> None:
        await asyncio.gather(*(call(count) for _ in range(sizes.callers)))

    with running(url):
        await call_all(1)
        stopwatch = Stopwatch()
        await call_all(sizes.flows // sizes.callers)
        return stopwatch.told()


async def many(url: str, sizes: Sizes) -> Answer:
    """Run workflows side by side, each with its steps."""
    with running(url):
        await asyncio.gather(*(warm_up() for _ in range(min(20, sizes.side_by_side))))
        await asyncio.gather(*(many_effects(sizes.effects) for _ in range(sizes.side_by_side)))
    return span.told()


@DBOS.workflow()
async def player(other: str, rounds: int, serves: bool) -> int:  # noqa: FBT001
    """Hit the ball back, and say how long each round took."""
    for number in range(rounds):
        began = time.perf_counter()
        if serves:
            await DBOS.send_async(other, number, "ball")
        assert await DBOS.recv_async("ball", HOUR) == number
        if not serves:
            await DBOS.send_async(other, number, "ball")
        took.append(time.perf_counter() - began)
    return rounds


async def play(url: str, sizes: Sizes) -> Answer:
    """Play one side; the side that serves measures."""
    serves = sizes.side == "ping"
    with running(url):
        with SetWorkflowID(sizes.side):
            other = "pong" if serves else "ping"
            handle = await DBOS.start_workflow_async(player, other, sizes.rounds, serves)
        if not serves:
            say({})
        await handle.get_result()
    return rounds_told(took[1:])


class Ward:
    """Where the sleepers of this process sleep."""

    dormitory: Dormitory
    all_up: asyncio.Event


@DBOS.workflow()
async def sleeper(wakes_at: float) -> None:
    """Sleep, and be up."""
    Ward.dormitory.goes_to_sleep()
    await DBOS.sleep_async(max(0.0, wakes_at - time.time()))
    Ward.dormitory.is_up()
    if Ward.dormitory.all_up:
        Ward.all_up.set()


async def wake(url: str, sizes: Sizes) -> Answer:
    """Let workflows sleep, weigh them, and wait until the last is up."""
    with running(url):
        await asyncio.gather(*(warm_up() for _ in range(20)))
        Ward.dormitory, Ward.all_up = Dormitory(TRIED), asyncio.Event()
        began = time.perf_counter()
        await asyncio.gather(*(sleeper(0) for _ in range(TRIED)))
        each = (time.perf_counter() - began) / TRIED
        Ward.all_up = asyncio.Event()
        dormitory = Ward.dormitory = Dormitory(sizes.sleepers, sizes.lead, each)
        for begun in range(0, sizes.sleepers, STARTERS):
            page = range(min(STARTERS, sizes.sleepers - begun))
            starts = (DBOS.start_workflow_async(sleeper, dormitory.wakes_at) for _ in page)
            await asyncio.gather(*starts)
        await asyncio.sleep(max(0.0, dormitory.time_left - 1))
        weight = dormitory.weigh()
        await Ward.all_up.wait()
    return dormitory.told(weight)


@DBOS.workflow()
async def resting() -> None:
    """Sleep for longer than anybody looks."""
    await DBOS.sleep_async(HOUR)


async def rest(url: str, sizes: Sizes) -> Answer:
    """Have workflows that sleep, and nothing else to do."""
    with running(url):
        for _ in range(sizes.idle):
            await DBOS.start_workflow_async(resting)
        await asyncio.sleep(2)
        say({})
        await asyncio.get_running_loop().run_in_executor(None, until_told_to_end)
    return {}


if __name__ == "__main__":
    run_program(
        {
            "prepare": prepare,
            "flows": lambda url, sizes: asyncio.run(flows(url, sizes)),
            "lone": lambda url, sizes: asyncio.run(many(url, sizes)),
            "many": lambda url, sizes: asyncio.run(many(url, sizes)),
            "message": lambda url, sizes: asyncio.run(play(url, sizes)),
            "sleepers": lambda url, sizes: asyncio.run(wake(url, sizes)),
            "idle": lambda url, sizes: asyncio.run(rest(url, sizes)),
        }
    )
