"""`for_each` over very many items: storage and memory at the end are those of the beginning."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.apps import Apps, loose, stored_effects
from unbroken import Unbroken, effect, flow, for_each

PAGE = 4096
STATM = Path("/proc/self/statm")
# What a process needs beside the flow goes up and down; one object an item would be far more.
MOST_BLOCKS = 20_000
MOST_MEGABYTES = 8


class Samples:
    """Looks at rows, journal and memory ten times on the way, and asserts that nothing grew."""

    def __init__(self, count: int, app: Callable[[], Unbroken]) -> None:
        self._every = count // 10
        self._app = app
        self.rows: list[int] = []
        self.held: list[int] = []
        self.blocks: list[int] = []
        self.megabytes: list[float] = []

    def look(self, n: int) -> None:
        if n % self._every:
            return
        app = self._app()
        (incarnation,) = loose(app)._engine.executor.residents.values()
        self.rows.append(len(stored_effects(app, "a")))
        self.held.append(len(incarnation.effects) + len(incarnation._marked or ()))
        self.blocks.append(sys.getallocatedblocks())
        if STATM.exists():
            self.megabytes.append(int(STATM.read_text().split()[1]) * PAGE / 1_000_000)

    def check(self) -> None:
        assert len(self.rows) == 10
        assert max(self.rows) <= 1
        assert max(self.held) <= 2
        assert self.blocks[-1] - self.blocks[1] < MOST_BLOCKS
        assert not self.megabytes or self.megabytes[-1] - self.megabytes[1] < MOST_MEGABYTES


@effect(flush=False)
async def touch(n: int) -> int:
    return n


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_million_items_with_an_accumulator_leave_nothing_behind(shared: Apps) -> None:
    count = 1_000_000
    samples = Samples(count, lambda: app)

    @flow
    async def each() -> int:
        async def add(total: int, n: int) -> int:
            samples.look(n)
            return total + n

        return await for_each(range(count), add, initial=0)

    app = shared()
    flows = app.register(each)
    async with app:
        assert await flows.run("a") == sum(range(count))
        assert stored_effects(app, "a") == {"for_each": "progress"}
    samples.check()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_hundred_thousand_items_with_an_effect_each_leave_nothing_behind(
    shared: Apps,
) -> None:
    count = 100_000
    samples = Samples(count, lambda: app)

    @flow
    async def each() -> int:
        async def body(total: int, n: int) -> int:
            samples.look(n)
            return total + await touch(n)

        return await for_each(range(count), body, initial=0)

    app = shared()
    flows = app.register(each)
    async with app:
        assert await flows.run("a") == sum(range(count))
        assert stored_effects(app, "a") == {"for_each": "progress"}
    samples.check()
