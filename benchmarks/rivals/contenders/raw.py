"""The limit of the bare database: the same bytes, by one plain connection and no engine."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import asyncpg

from benchmarks.rivals.work import Answer, Sizes, Stopwatch, answer, rounds_told, run_program, say
from unbroken.stores.sql import read_catalogue

SQL = read_catalogue(Path(__file__).parents[1] / "sql")
FIRST = 1_000_000  # numbers are as long as those of a database in use


def body(number: int) -> str:
    """Give what an effect's row holds."""
    return json.dumps(answer(number))


async def prepare(url: str) -> Answer:
    """Bring the tables into a database."""
    connection = await asyncpg.connect(url)
    for name in ("create_flows", "create_effects", "create_balls"):
        await connection.execute(SQL[name])
    await connection.close()
    return {}


async def lone(url: str, sizes: Sizes) -> Answer:
    """INSERT and COMMIT, one row after the other."""
    connection = await asyncpg.connect(url)
    for number in range(20):
        await connection.execute(SQL["insert_effect"], -sizes.effects, f"{number}", body(number))
    stopwatch = Stopwatch()
    for number in range(sizes.effects):
        await connection.execute(
            SQL["insert_effect"], FIRST + sizes.effects, f"reserve#{number}", body(number)
        )
    return stopwatch.told()


async def many(url: str, sizes: Sizes) -> Answer:
    """INSERT one effect of each flow, and COMMIT; then the next one of each."""
    connection = await asyncpg.connect(url)
    count = sizes.side_by_side
    numbers = [FIRST + number for number in range(count)]
    await connection.execute(SQL["insert_effects"], *_page([0] * 20, list(map(str, range(20))), 0))
    stopwatch = Stopwatch()
    for number in range(sizes.effects):
        await connection.execute(
            SQL["insert_effects"], *_page(numbers, [f"reserve#{number}"] * count, number)
        )
    return stopwatch.told()


def _page(numbers: list[int], keys: list[str], number: int) -> Iterator[Sequence[object]]:
    count = len(numbers)
    yield from (numbers, keys, [body(number)] * count)


async def flows(url: str, sizes: Sizes) -> Answer:
    """INSERT the flows of all callers; INSERT their effects; UPDATE them: three transactions."""
    connection = await asyncpg.connect(url)
    stopwatch = Stopwatch()
    for first in range(FIRST, FIRST + sizes.flows, sizes.callers):
        numbers = list(range(first, first + sizes.callers))
        names, params = [f"order-{n}" for n in numbers], [f"[{n}]" for n in numbers]
        await connection.execute(SQL["insert_flows"], numbers, names, params)
        await connection.execute(
            SQL["insert_effects"], *_page(numbers, ["reserve"] * len(numbers), 0)
        )
        await connection.execute(SQL["end_flows"], numbers, [body(n) for n in numbers])
    return stopwatch.told()


async def play(url: str, sizes: Sizes) -> Answer:
    """INSERT and NOTIFY in one statement; the other process hears it and does the same."""
    serves = sizes.side == "ping"
    other = "pong" if serves else "ping"
    connection = await asyncpg.connect(url)
    heard: asyncio.Queue[int] = asyncio.Queue()
    ear = await asyncpg.connect(url)
    await ear.add_listener(sizes.side, lambda *told: heard.put_nowait(int(told[3])))
    if not serves:
        say({})
    took: list[float] = []
    for number in range(sizes.rounds):
        began = time.perf_counter()
        if serves:
            await connection.execute(SQL["hit"], other, number)
        assert await heard.get() == number
        if not serves:
            await connection.execute(SQL["hit"], other, number)
        took.append(time.perf_counter() - began)
    return rounds_told(took[1:])


if __name__ == "__main__":
    run_program(
        {
            "prepare": lambda url, _: asyncio.run(prepare(url)),
            "flows": lambda url, sizes: asyncio.run(flows(url, sizes)),
            "lone": lambda url, sizes: asyncio.run(lone(url, sizes)),
            "many": lambda url, sizes: asyncio.run(many(url, sizes)),
            "message": lambda url, sizes: asyncio.run(play(url, sizes)),
        }
    )
