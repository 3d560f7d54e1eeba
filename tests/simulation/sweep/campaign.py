"""Which blows are tried: every operation with every fault, and for small scenarios every two."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from tests.simulation.sweep.faults import (
    ALONE_ONLY,
    LASTING,
    LASTING_OF_ALL,
    LASTING_OF_ONE,
    ON_READS,
    ON_WRITES,
    Blow,
    Fault,
    Spell,
    is_read,
)
from tests.simulation.sweep.run import Layout, Verdict, run
from tests.simulation.sweep.scenario import Scenario
from tests.simulation.sweep.smallest import SMALLEST

COLLECTED = 50
# From one fault to the next, so that a scenario's faults come at all its parts.
STRIDE = 5
Blows = tuple[Blow, ...]
# The scenarios that are small enough to strike every two operations.
PAIRED = {
    Layout.BESIDE: frozenset({"one_capture", "one_at_most_once"}),
    Layout.ALONE: frozenset(SMALLEST),
}


class Found(msgspec.Struct, frozen=True):
    """A run in which a promise was broken."""

    scenario: str
    layout: str
    blows: str
    violations: list[str]


class Report(msgspec.Struct):
    """What a sweep of one scenario in one layout found."""

    scenario: str
    layout: Layout
    operations: int = 0
    runs: int = 0
    met: dict[str, int] = {}
    found: list[Found] = []


class Sweep:
    """One scenario in one layout. Of all runs that there are, each `every`th is made."""

    def __init__(self, scenario: Scenario, layout: Layout, every: int = 1) -> None:
        self.scenario = scenario
        self.layout = layout
        self.report = Report(scenario.name, layout)
        self._every = every
        self._offered = 0
        self.fair = self._try((), None)
        self.report.operations = len(self.fair.passed)

    def try_out(self, blows: Blows) -> Verdict:
        """Make one run, and take down what it found."""
        return self._try(blows, self.fair.results)

    def _try(self, blows: Blows, expected: dict[str, Any] | None) -> Verdict:
        verdict = run(self.scenario, self.layout, blows, expected)
        report = self.report
        report.runs += 1
        if report.runs % COLLECTED == 0:
            gc.collect()
        for name, times in verdict.met.items():
            report.met[name] = report.met.get(name, 0) + times
        if verdict.violations:
            name = " ".join(map(str, blows))
            found = Found(report.scenario, report.layout.value, name, verdict.violations)
            report.found.append(found)
        return verdict

    def single(self) -> Report:
        """Strike each operation of the fair run with each fault, once and lasting."""
        for number, what in enumerate(self.fair.passed, 1):
            for blow in blows_at(number, what, self.layout):
                self._try_in_turn((blow,))
        return self.report

    def each_fault(self, turn: int) -> Report:
        """Try each fault, once and lasting, at one operation each; at which is the turn's."""
        places: defaultdict[tuple[Fault, Spell], list[Blow]] = defaultdict(list)
        for number, what in enumerate(self.fair.passed, 1):
            for blow in blows_at(number, what, self.layout):
                places[blow.fault, blow.spell].append(blow)
        for index, blows in enumerate(places.values()):
            self.try_out((blows[(turn + index * STRIDE) % len(blows)],))
        return self.report

    def pairs(self) -> Report:
        """Strike each operation, and then each that comes after it, also those of recovery."""
        for number, what in enumerate(self.fair.passed, 1):
            for first in paired_at(number, what):
                after = self.try_out((first,)).passed
                for later in range(number + 1, len(after) + 1):
                    for second in paired_at(later, after[later - 1]):
                        self._try_in_turn((first, second))
        return self.report

    def _try_in_turn(self, blows: Blows) -> None:
        self._offered += 1
        if self._offered % self._every == 0:
            self.try_out(blows)


def once_at(number: int, what: str) -> Iterator[Blow]:
    """Give each fault that an operation may meet alone."""
    for fault in ON_READS if is_read(what) else ON_WRITES:
        yield Blow(number, fault)


def paired_at(number: int, what: str) -> Iterator[Blow]:
    """Give each fault that counts beside another one."""
    for blow in once_at(number, what):
        if blow.fault not in ALONE_ONLY:
            yield blow


def blows_at(number: int, what: str, layout: Layout) -> Iterator[Blow]:
    """Give each fault that an operation may meet, alone or with those that follow.

    What begins to last at a read is the same as what begins to last at the next write.
    """
    yield from once_at(number, what)
    if is_read(what):
        return
    if layout is Layout.ALONE:
        for fault in LASTING:
            yield Blow(number, fault, Spell.PROCESS)
        return
    for fault in LASTING_OF_ONE:
        yield Blow(number, fault, Spell.PROCESS)
    for fault in LASTING_OF_ALL:
        yield Blow(number, fault, Spell.ALL)
