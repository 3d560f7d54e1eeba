"""Runs sequences on databases in memory, each on one of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.stores.clock import FakeClock
from tests.stores.differential.comparing import Comparison, Difference, difference_in
from tests.stores.differential.generator import LENGTH, Generator
from tests.stores.differential.steps import Step
from unbroken.stores import open_store
from unbroken.stores.store import Store


async def run_seed(seed: int) -> tuple[Comparison, Difference | None]:
    """Run the sequence of a seed, up to the step at which store and model differ."""
    async with _empty_store() as (store, clock):
        comparison = Comparison(store, clock)
        return comparison, await comparison.run(Generator(seed).request, LENGTH)


async def run_steps(steps: Sequence[Step]) -> Difference | None:
    """Run a sequence that was written down."""
    async with _empty_store() as (store, clock):
        return await difference_in(store, clock, steps)


@asynccontextmanager
async def _empty_store() -> AsyncIterator[tuple[Store, FakeClock]]:
    clock = FakeClock()
    store = open_store("sqlite://", clock=clock)
    await store.open()
    try:
        yield store, clock
    finally:
        await store.close()
