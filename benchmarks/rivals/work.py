"""What every contender is asked to do, and how it answers. Needs the standard library alone.

A contender is a program: `python -m benchmarks.rivals.contenders.NAME WORK URL SIZES`. It prints
one line of JSON. It is started anew for each piece of work, on a database of its own.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

ANSWER = "reserved " * 5
TRIED = 200  # sleepers go to bed before, to see how long one takes
SLOWER = 1.6  # times as long as that it may take when all do
STATM = Path("/proc/self/statm")


@dataclass(frozen=True)
class Sizes:
    """How much of each work there is; the same for every contender, but for `lead`."""

    callers: int = 100  # at most so many flows of one effect are under way
    flows: int = 1_000  # of one effect, started and awaited
    effects: int = 100  # of one flow, one after the other
    side_by_side: int = 100  # flows that make so many effects at the same time
    rounds: int = 100  # of a ball between two processes
    sleepers: int = 10_000
    lead: float = 20  # at least so many seconds from the first sleeper's start until all wake
    idle: int = 100  # flows that sleep while statements are counted
    side: str = "ping"  # which end of the ball game this process plays

    def written(self) -> str:
        """Write the sizes for a command line."""
        return json.dumps(asdict(self))


Answer = dict[str, float]
# A program's pieces of work, by name: "flows", "lone", "many", "message", "sleepers", "idle".
Works = dict[str, Callable[[str, Sizes], Answer]]


def answer(number: int) -> str:
    """Give what each effect returns: 50 characters."""
    return f"{ANSWER}{number:05}"


def run_program(works: Works) -> None:
    """Do what the command line asks for, and print the answer."""
    _, work, url, sizes = sys.argv
    told = works[work](url, Sizes(**json.loads(sizes)))
    say(told)


def say(told: Answer) -> None:
    """Print an answer, for the process that waits for it."""
    print(json.dumps(told), flush=True)


def until_told_to_end() -> None:
    """Block until the other side closes the standard input."""
    sys.stdin.read()


class Stopwatch:
    """What the clock and the processor say of a piece of work."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def told(self) -> Answer:
        """Answer with the seconds since it was made, and those that this process computed in."""
        began, cpu = self._began
        return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


class Span:
    """From the first begin to the last end of many things."""

    def __init__(self) -> None:
        self._stopwatch: Stopwatch | None = None
        self._told: Answer = {}

    def begin(self) -> None:
        """Say that one of them begins."""
        if self._stopwatch is None:
            self._stopwatch = Stopwatch()

    def end(self) -> None:
        """Say that one of them has ended."""
        assert self._stopwatch is not None, "nothing began"
        self._told = self._stopwatch.told()

    def told(self) -> Answer:
        """Answer with the time in between."""
        assert self._told, "nothing ended"
        return self._told


class Dormitory:
    """Sleepers that all wake at one moment: how long until the last is up, how much they weigh.

    `each` is what it took to put one to bed when that was tried.
    """

    def __init__(self, beds: int, lead: float = 0.0, each: float = 0.0) -> None:
        self._beds = beds
        self._weight_before = resident_bytes()
        self.wakes_at = time.time() + max(lead, SLOWER * each * beds + 5)
        self.asleep = 0
        self._up: list[float] = []

    def goes_to_sleep(self) -> None:
        """Say that one is about to sleep."""
        self.asleep += 1

    def is_up(self) -> None:
        """Say that one goes on."""
        self._up.append(time.time() - self.wakes_at)

    @property
    def all_up(self) -> bool:
        """Whether every sleeper goes on."""
        return len(self._up) >= self._beds

    @property
    def time_left(self) -> float:
        """Seconds until they wake."""
        return self.wakes_at - time.time()

    def weigh(self) -> float:
        """Give the bytes that the process has grown by for each sleeper, just before they wake."""
        if self.asleep < self._beds or self.time_left < 0:
            raise RuntimeError(f"only {self.asleep} sleep with {self.time_left:.1f} s left")
        return (resident_bytes() - self._weight_before) / self._beds

    def told(self, weight: float) -> Answer:
        """Answer when all are up."""
        assert min(self._up) >= 0, "one woke early"
        return {"seconds": max(self._up), "median": median(self._up), "bytes": weight}


def rounds_told(seconds: Sequence[float]) -> Answer:
    """Answer with the median and the worst tenth of the rounds."""
    ordered = sorted(seconds)
    return {"median": median(ordered), "p90": ordered[int(len(ordered) * 0.9)]}


def resident_bytes() -> int:
    """Give the resident memory of this process; where the system does not say, its peak."""
    gc.collect()
    if STATM.exists():
        return int(STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
