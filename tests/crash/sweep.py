"""Kills a flow's process at each of its store operations, before it and after it.

    python -m tests.crash.sweep STORE CASE FOLDER [POINT]

STORE is `sqlite` or the URL of a PostgreSQL database. Dry runs say what is always done. Then, for
each point and side, one process is ended there and another one, fresh, finishes the flow; a checker
looks at what happened outside and at what is stored. With a POINT, the flow's first process has
died there already, and it is its successor that is counted and killed. Many points are tried at the
same time, since most of the time is a wait for a lease to end. The answer is a report in JSON on
the standard output.
"""

from __future__ import annotations

import shutil
import signal
import sys
import time
from datetime import timedelta
from itertools import count
from pathlib import Path

import msgspec

from tests.crash import ledger, processes, program
from tests.crash.cases import CASES, Case
from tests.crash.checker import check
from tests.crash.checker.history import Death, History
from tests.crash.databases import Databases, databases
from tests.crash.kill_points import KILL_AT, POINTS, SIDES, Passed, Side

AT_THE_SAME_TIME = 8
# How often a point is tried that a run did not reach: reads come in no fixed number.
TRIES = 12
READS = frozenset({"poll", "beat", "reap", "find", "view", "read_inbox", "owned", "load", "places"})
DRY_RUNS = 3
# Longer than a lease and a few polls; shorter than flows stay in memory while they wait.
PATIENCE = 9.0
# Who is killed has beaten a moment ago: the lease is what a successor waits for.
LEASE = timedelta(milliseconds=300)
ATTEMPTS = {"warm": 4, "cold": 4}


class Report(msgspec.Struct):
    """What a sweep found. `points` were counted, at `hit` of them a process died.

    `missed` are writes and bodies that no run reached again: there must be none.
    """

    case: str
    points: int = 0
    hit: int = 0
    missed: list[str] = []
    retried: int = 0
    seconds: float = 0.0
    passed: list[str] = []
    violations: list[str] = []


class Point(msgspec.Struct, frozen=True):
    """Where a process dies: at which operation, on which side of it."""

    at: Passed
    side: Side

    def __str__(self) -> str:
        return f"{self.side}:{self.at}"


class DryRun(msgspec.Struct, frozen=True):
    """What an undisturbed process passed, and how the flow ended."""

    passed: list[Passed]
    flow: str
    result: object


class Attempt:
    """One point: the process that dies there, and the one that finishes what it left."""

    def __init__(self, sweep: Sweep, point: Point, folder: Path) -> None:
        self.point = point
        self.folder = folder
        self.has_died = False
        self._sweep = sweep
        # That a process is dead is known at once, or by its lease alone: half of the points each.
        self._by_lease = point.side == "after"
        self._deaths = sweep.prepare(folder)
        self.pid = sweep.start(folder, {KILL_AT: str(point)}, by_lease=self._by_lease)
        self._deadline = time.monotonic() + PATIENCE

    def code(self) -> int | None:
        """Give how the process ended; None if it runs. One that runs too long is killed."""
        code = processes.ended(self.pid)
        if code is None and time.monotonic() > self._deadline:
            processes.kill(self.pid)
            return -signal.SIGALRM
        return code

    def go_on(self) -> None:
        """Look at the store that the killed process left, and start its successor."""
        self.has_died = True
        self._deaths.append(self._sweep.death(self.folder))
        self.pid = self._sweep.start(self.folder, {}, by_lease=self._by_lease)

    def judge(self, dry: DryRun, code: int) -> list[str]:
        """Check everything, now that the flow has ended, or should have."""
        found: list[str] = []
        if code != 0:
            log = (self.folder / "log").read_text()[-2000:]
            found.append(f"the process that should have finished ended with {code}: {log}")
        history = History(
            ledger.read(self.folder / "ledger"),
            self._sweep.databases.snapshot(self.folder),
            deaths=tuple(self._deaths),
            expected={dry.flow: dry.result},
            volatile=self._sweep.case.volatile,
            attempts={**ATTEMPTS, **self._sweep.case.attempts},
        )
        exempt = self._sweep.case.exempt
        broken = [one for one in check(history) if one.rule not in exempt]
        found += [f"{one.rule}: {one.flow}: {one.text}" for one in broken]
        return [f"killed at {self.point} in {self.folder}: {one}" for one in found]


class Sweep:
    """All points of one case."""

    def __init__(
        self, stored: Databases, name: str, folder: Path, orphaned_at: str | None = None
    ) -> None:
        self.databases = stored
        self.name = name
        self.case: Case = CASES[name]
        self.folder = folder
        self._orphan: Path | None = None
        if orphaned_at is not None:
            self._orphan = self._make_orphan(orphaned_at)

    def start(self, folder: Path, environment: dict[str, str], *, by_lease: bool = False) -> int:
        """Fork a process that uses the flow."""
        url = self.databases.url(folder)

        def run() -> None:
            program.run(self.case, url, LEASE, by_lease=by_lease)
            (folder / "passed").write_bytes(msgspec.json.encode(POINTS.passed))

        log = folder / "log"
        return processes.fork(run, log, {ledger.PATH: str(folder / "ledger"), **environment})

    def prepare(self, folder: Path) -> list[Death]:
        """Make a folder as the processes shall find it; give the death that was before, if any."""
        if self._orphan is None:
            folder.mkdir()
            return []
        shutil.copytree(self._orphan, folder, ignore=shutil.ignore_patterns("flows.db*"))
        self.databases.copy(self._orphan, folder)
        return [self.death(folder)]

    def death(self, folder: Path) -> Death:
        """Read what a killed process left in the store."""
        stored = self.databases.snapshot(folder)
        return Death(time.monotonic_ns() // 1000, stored)

    def _make_orphan(self, at: str) -> Path:
        folder = self.folder / "orphan"
        folder.mkdir()
        code = processes.wait(self.start(folder, {KILL_AT: f"after:1:{at}"}), PATIENCE)
        assert code == -signal.SIGKILL
        time.sleep(LEASE.total_seconds())  # whoever comes finds the lease over, each time alike
        return folder

    def _dry_run(self, folder: Path) -> DryRun:
        self.prepare(folder)
        code = processes.wait(self.start(folder, {}), PATIENCE)
        assert code == 0, (folder / "log").read_text()
        (result,) = [line for line in ledger.read(folder / "ledger") if line.kind == "result"]
        passed = msgspec.json.decode((folder / "passed").read_bytes(), type=list[Passed])
        return DryRun(passed, result.flow, result.value)

    def run(self) -> Report:
        """Count the points, and try each of them on both sides."""
        begin = time.monotonic()
        runs = [self._dry_run(self.folder / f"dry-{number}") for number in range(DRY_RUNS)]
        # Reads may come once more or less, and two writes share a transaction or do not: what every
        # run has passed can be asked of each.
        always = frozenset[Passed].intersection(*(frozenset(run.passed) for run in runs))
        dry = runs[0]
        points = [one for one in dry.passed if one in always]
        report = Report(self.name, points=2 * len(points), passed=[one.what for one in points])
        self._try_all(dry, points, report)
        report.seconds = round(time.monotonic() - begin, 1)
        return report

    def _try_all(self, dry: DryRun, points: list[Passed], report: Report) -> None:
        waiting = [(Point(one, side), TRIES) for one in reversed(points) for side in SIDES]
        running: list[tuple[Attempt, int]] = []
        folders = (self.folder / f"attempt-{number}" for number in count())
        while waiting or running:
            while waiting and len(running) < AT_THE_SAME_TIME:
                point, tries = waiting.pop()
                running.append((Attempt(self, point, next(folders)), tries - 1))
            for attempt, tries in list(running):
                code = attempt.code()
                if code is None:
                    continue
                if code == -signal.SIGKILL and not attempt.has_died:
                    attempt.go_on()
                    continue
                running.remove((attempt, tries))
                if code == 0 and not attempt.has_died and tries:
                    report.retried += 1
                    waiting.append((attempt.point, tries))
                    self.databases.forget(attempt.folder)
                    continue
                report.hit += attempt.has_died
                if not attempt.has_died and point_is_sure(attempt.point):
                    report.missed.append(str(attempt.point))
                report.violations += attempt.judge(dry, code)
                self.databases.forget(attempt.folder)
            time.sleep(0.002)


def point_is_sure(point: Point) -> bool:
    """Whether each run that is long enough passes a point."""
    return point.at.what not in READS


if __name__ == "__main__":
    store, case, place, *rest = sys.argv[1:]
    done = Sweep(databases(store), case, Path(place), rest[0] if rest else None).run()
    print(msgspec.json.encode(done).decode())
