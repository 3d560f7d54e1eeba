"""Counts what happened and says what was broken."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import msgspec

from tests.crash import ledger
from tests.crash.checker import check
from tests.crash.checker.history import History, Violation
from tests.crash.databases import Databases
from tests.crash.torture.director import Director
from tests.crash.torture.programs import ATTEMPTS, expected, program_of

FEW = 20


class Counts(msgspec.Struct):
    """What a torture run did. Zero violations mean nothing without the other figures."""

    kills: int = 0
    freezes: int = 0
    stops: int = 0
    flows: int = 0
    children: int = 0
    captures: int = 0
    bodies_begun: int = 0
    begun_again_after_a_kill: int = 0
    at_most_once_begun: int = 0
    interrupted: int = 0
    batches: int = 0
    zombies_refused: int = 0
    takeovers: int = 0
    messages_accepted: int = 0
    messages_duplicate: int = 0
    sleeps: int = 0
    late_begins: int = 0


class Report(msgspec.Struct):
    """The counts, and every broken promise."""

    seed: int
    counts: Counts
    violations: list[Violation]
    failures: list[str]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was broken."""
        return not self.violations and not self.failures


def report(seed: int, folder: Path, stored: Databases, director: Director) -> Report:
    """Read ledger and store, and check everything."""
    lines = ledger.read(folder / "ledger")
    end = stored.snapshot(folder)
    wanted = {
        name: expected(program_of(seed, int(row.id[1:])))
        for name, row in end.flows.items()
        if "/" not in row.id
    }
    history = History(lines, end, expected=wanted, attempts=ATTEMPTS)
    violations = check(history)
    counts = count(history)
    counts.late_begins = history.late_begins
    counts.stops = director.stops
    return Report(seed, counts, violations, director.failures)


def count(history: History) -> Counts:
    """Count what the ledger tells."""
    kinds = Counter(line.kind for line in history.lines)
    begins = [line for line in history.lines if line.kind == "begin"]
    effects = {(line.flow, line.effect) for line in begins}
    again = {(line.flow, line.effect, line.incarnation) for line in begins}
    deliveries = Counter(line.value["delivery"] for line in history.lines if line.kind == "sent")
    return Counts(
        kills=kinds["killed"],
        freezes=kinds["stopped"],
        flows=sum("/" not in row.id for row in history.end.flows.values()),
        children=sum("/" in row.id for row in history.end.flows.values()),
        captures=len(effects),
        bodies_begun=len(begins),
        begun_again_after_a_kill=len(again) - len(effects),
        at_most_once_begun=sum(line.once for line in begins),
        interrupted=len({(o.flow, o.effect) for o in history.lines if o.kind == "interrupted"}),
        batches=kinds["landed"],
        zombies_refused=kinds["fenced"],
        takeovers=takeovers(history),
        messages_accepted=deliveries["accepted"],
        messages_duplicate=deliveries["duplicate"],
        sleeps=kinds["slept"],
    )


def takeovers(history: History) -> int:
    """Count incarnations that began in another process than the one before."""
    pids: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for line in history.lines:
        if line.kind == "started":
            pids[line.flow][line.incarnation] = line.pid
    return sum(
        before in found and found[before] != pid
        for found in pids.values()
        for incarnation, pid in found.items()
        for before in [incarnation - 1]
    )


def printed(done: Report) -> str:
    """Give the report as text."""
    figures = msgspec.structs.asdict(done.counts)
    lines = [f"seed {done.seed}"]
    lines += [f"{name.replace('_', ' '):<26}{figure:>10}" for name, figure in figures.items()]
    lines.append(f"{'violations':<26}{len(done.violations):>10}")
    lines += [f"  {one.rule}: {one.flow}: {one.text}" for one in done.violations[:FEW]]
    lines += [f"  {failure}" for failure in done.failures]
    return "\n".join(lines)
