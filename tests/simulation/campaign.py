"""Lives through many seeds, on several cores, and adds up what they found."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from multiprocessing import get_context

import msgspec

from tests.simulation.run import judge
from unbroken.serialization import classes, known

CHUNK = 20
CHUNKS = 40
# So many seeds apart are those whose trace is compared with one under another hash seed.
STRIDE = 50


class Bad(msgspec.Struct):
    """A seed in which a promise was broken."""

    seed: int
    weather: str
    violations: list[str]


class Found(msgspec.Struct):
    """What some seeds found."""

    seeds: int = 0
    bad: list[Bad] = []
    met: Counter[str] = msgspec.field(default_factory=Counter[str])
    turns: int = 0
    lived: float = 0.0
    """Simulated seconds."""
    worked: float = 0.0
    """Seconds of a core."""
    traces: dict[int, str] = {}
    """Of every so many-th seed, what happened, as a digest."""

    def add(self, other: Found) -> None:
        """Take in what other seeds found."""
        self.seeds += other.seeds
        self.bad = sorted([*self.bad, *other.bad], key=lambda one: one.seed)
        self.met.update(other.met)
        self.turns += other.turns
        self.lived += other.lived
        self.worked += other.worked
        self.traces = {**self.traces, **other.traces}


def live_through(seeds: range) -> Found:
    """Run seeds one after the other in this process."""
    found = Found()
    begin = time.process_time()
    for seed in seeds:
        verdict = judge(seed)
        found.seeds += 1
        found.met.update(verdict.met)
        found.turns += verdict.turns
        found.lived += verdict.seconds
        if verdict.violations:
            found.bad = [*found.bad, Bad(seed, verdict.weather, verdict.violations)]
        if seed % STRIDE == 0:
            found.traces = {**found.traces, seed: verdict.trace}
    # What was still held when a run cleared up behind it is garbage by now.
    gc.unfreeze()
    gc.collect()
    found.worked = time.process_time() - begin
    return found


def begin_worker() -> None:
    """Make a process ready for many runs: each one clears up behind it, and only behind it."""
    logging.disable(logging.CRITICAL)
    # Each replica of each run registers the same flows anew: their annotations are read once.
    classes.hints_of = known.hints_of = lru_cache(classes.hints_of)
    gc.collect()
    gc.freeze()


def campaign(seeds: range, jobs: int = 0) -> Iterator[Found]:
    """Run seeds on so many cores (0: on all); gives what each few of them found, as they end."""
    size, step = CHUNK, seeds.step
    chunks = [seeds[at : at + size] for at in range(0, len(seeds), size)]
    assert step > 0
    workers = min(jobs or os.cpu_count() or 1, len(chunks))
    # What a killed process leaves suspended is not all given back: a worker lives for some chunks.
    with get_context("spawn").Pool(workers, begin_worker, maxtasksperchild=CHUNKS) as pool:
        yield from pool.imap_unordered(live_through, chunks)


def live_through_all(seeds: range, jobs: int = 0) -> Found:
    """Run seeds on so many cores, and add up."""
    whole = Found()
    for found in campaign(seeds, jobs):
        whole.add(found)
    return whole
