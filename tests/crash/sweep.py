"""Kills a flow's process at each of its store operations, before it and after it.

    python -m tests.crash.sweep CASE FOLDER

A dry run counts the points. Then, for each point and side, one process is ended there and another
one, fresh, finishes the flow; a checker looks at what happened outside and at what is stored. Many
points are tried at the same time, since most of the time is a wait for a lease to end. The answer is
a report in JSON on the standard output.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec

from tests.crash import ledger, processes, program, snapshot
from tests.crash.cases import CASES, Case
from tests.crash.checker import check
from tests.crash.checker.history import Death, History
from tests.crash.kill_points import KILL_AT, POINTS, SIDES, Side

AT_THE_SAME_TIME = 8
# How often a point is tried that a run did not reach: reads come in no fixed number.
TRIES = 8
DRY_RUNS = 3
PATIENCE = 30.0
UNHURRIED = timedelta(seconds=20)
# The lease by which a successor judges. What is killed has beaten a moment ago.
LEASE = timedelta(milliseconds=300)


class Report(msgspec.Struct):
    """What a sweep found. `points` were counted, `hit` are those at which a process died."""

    case: str
    points: int = 0
    hit: int = 0
    retried: int = 0
    seconds: float = 0.0
    passed: list[str] = []
    violations: list[str] = []


class Point(msgspec.Struct, frozen=True):
    """Where a process dies: at which operation, on which side of it."""

    number: int
    side: Side


class Attempt:
    """One point: the process that dies, and those that finish what it left."""

    def __init__(self, case: Case, expected: object, point: Point, folder: Path) -> None:
        self.point = point
        self.folder = folder
        self._case = case
        self._expected = expected
        self._death: Death | None = None
        folder.mkdir()
        kill_at = f"{point.number}:{point.side}"
        self.pid = start(case, folder, UNHURRIED, {KILL_AT: kill_at})
        self._deadline = time.monotonic() + PATIENCE

    def died(self, code: int) -> bool:
        """Look at the store the killed process left, and let a successor go on; False if it lives."""
        if code != -signal.SIGKILL:
            return False
        stored = snapshot.take(self.folder / "flows.db")
        self._death = Death(time.monotonic_ns() // 1000, stored)
        self.pid = start(self._case, self.folder, LEASE, {})
        return True

    @property
    def has_died(self) -> bool:
        """Whether the first process is over."""
        return self._death is not None

    @property
    def is_late(self) -> bool:
        """Whether the flow should have ended long ago."""
        return time.monotonic() > self._deadline

    def judge(self, name: str, code: int | None) -> list[str]:
        """Check everything, now that the successor has ended."""
        found: list[str] = []
        if code != 0:
            found.append(f"the successor ended with {code}: {read_log(self.folder)}")
        history = History(
            ledger.read(self.folder / "ledger"),
            snapshot.take(self.folder / "flows.db"),
            deaths=(self._death,) if self._death else (),
            expected={name: self._expected},
            volatile=self._case.volatile,
            attempts={"warm": 4, "cold": 4},
        )
        found += [f"{one.rule}: {one.flow}: {one.text}" for one in check(history)]
        return found


def start(case: Case, folder: Path, lease: timedelta, environment: dict[str, str]) -> int:
    """Fork a process that uses the flow."""

    def run() -> None:
        program.run(case, f"sqlite:///{folder / 'flows.db'}", lease)
        (folder / "passed").write_text("\n".join(POINTS.passed))

    log = folder / "log"
    return processes.fork(run, log, {ledger.PATH: str(folder / "ledger"), **environment})


def dry_run(case: Case, folder: Path) -> tuple[list[str], str, object]:
    """Run the flow to its end; give what was passed, the flow's name and its result."""
    folder.mkdir()
    code = processes.wait(start(case, folder, UNHURRIED, {}), PATIENCE)
    if code != 0:
        raise AssertionError(f"the dry run ended with {code}: {read_log(folder)}")
    (result,) = [line for line in ledger.read(folder / "ledger") if line.kind == "result"]
    return (folder / "passed").read_text().split("\n"), result.flow, result.value


def read_log(folder: Path) -> str:
    """Give what the processes of an attempt printed, and when they wrote to the ledger."""
    return (folder / "log").read_text()[-4000:]


def sweep(name: str, folder: Path) -> Report:
    """Try every point of a case."""
    begin = time.monotonic()
    case = CASES[name]
    runs = [dry_run(case, folder / f"dry-{number}") for number in range(DRY_RUNS)]
    # Reads may come once more or less; what every run has passed can be asked of each.
    passed, flow, expected = min(runs, key=lambda run: len(run[0]))
    report = Report(name, points=2 * len(passed), passed=passed)
    points = [Point(number, side) for number in range(1, len(passed) + 1) for side in SIDES]
    begin_attempt = _attempts(case, expected, folder)
    waiting = [(point, TRIES) for point in reversed(points)]
    running: list[tuple[Attempt, int]] = []
    while waiting or running:
        while waiting and len(running) < AT_THE_SAME_TIME:
            point, tries = waiting.pop()
            running.append((begin_attempt(point), tries - 1))
        for attempt, tries in list(running):
            code = processes.ended(attempt.pid)
            if code is None and not attempt.is_late:
                continue
            if code is None:
                processes.kill(attempt.pid)
            elif not attempt.has_died and attempt.died(code):
                continue
            running.remove((attempt, tries))
            if not attempt.has_died and code == 0 and tries:
                report.retried += 1
                waiting.append((attempt.point, tries))
                continue
            report.hit += attempt.has_died
            where = f"{attempt.point.number}:{attempt.point.side} in {attempt.folder}"
            what = passed[attempt.point.number - 1]
            found = attempt.judge(flow, code)
            report.violations += [f"killed at {where} ({what}): {one}" for one in found]
        time.sleep(0.002)
    report.seconds = time.monotonic() - begin
    return report


def _attempts(case: Case, expected: object, folder: Path) -> Callable[[Point], Attempt]:
    numbers = iter(range(1_000_000))

    def begin(point: Point) -> Attempt:
        place = folder / f"{point.number}-{point.side}-{next(numbers)}"
        return Attempt(case, expected, point, place)

    return begin


if __name__ == "__main__":
    os.setpgid(0, 0)
    print(msgspec.json.encode(sweep(sys.argv[1], Path(sys.argv[2]))).decode())
