"""The measurement of what history costs: it runs at tiny sizes, and says something in each row."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.scale.crowds import READERS, Drained, Woken
from benchmarks.scale.page import Crowds, crowd_rows, ratio_rows
from benchmarks.scale.turns import Figure
from tests.services import Database, server_url

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "benchmarks" / "SCALE.md"
FIGURE = re.compile(r"[\d.,]*\d")
TINY = {"finished": 400, "suspended": 60, "turns": 1, "timers": 20, "messages": 20}
MEASURED = [
    "start of a flow, ids in order",
    "start of a flow, ids at random",
    "claim of one due flow",
    "claim of 100 due flows",
    "poll when nothing is due",
    "effect of a lone flow",
    "start elsewhere, until its first line",
]
# What is counted, and what must come out whatever the machine does.
COUNTED = {
    "20 timers of one second: ended": "20",
    "20 timers of one second: woke early": "0",
    "20 timers of one second: ran twice": "0",
    **{f"20 messages to one flow ({how}): consumed": "20" for how in READERS},
    **{f"20 messages to one flow ({how}): in order, each once": "1" for how in READERS},
    "one message to each of 20 flows: ended": "20",
    "one message to each of 20 flows: messages consumed": "20",
    "one message to each of 20 flows: recorded once": "20",
}


def crowds_with(*, early: int) -> Crowds:
    timers = Drained(20, 20, early, twice=0, again=0, seconds=1.0, late=0.1)
    woken = Woken(20, 20, consumed=20, recorded=20, again=0, sending=1.0, seconds=1.0)
    return Crowds(timers, [], woken)


def written() -> int | None:
    return PAGE.stat().st_mtime_ns if PAGE.exists() else None


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
            "UNBROKEN_POSTGRES_URL": server_url(),
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_tiny_run_measures_and_counts_everything(postgresql: Database) -> None:
    name, before = f"bench_scale_test_{os.getpid()}", written()
    sizes = [f"--{size}={count}" for size, count in TINY.items()]
    told = run(f"--name={name}", *sizes)
    assert told.returncode == 0, told.stderr
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in told.stdout.splitlines()
        if line.startswith("|") and not line.startswith("| -")
    ]
    ratios, crowds = rows[: 1 + len(MEASURED)], rows[1 + len(MEASURED) :]
    assert ratios[0] == ["what", "unit", "empty", "full", "full / empty", "goal", "reached"]
    assert [row[0] for row in ratios[1:]] == MEASURED
    assert all(FIGURE.match(cell) for row in ratios[1:] for cell in row[2:5])
    assert crowds[0] == ["what", "empty", "full", "wanted", "reached"]
    assert all(FIGURE.match(cell) for row in crowds[1:] for cell in row[1:3])
    found = {row[0]: row[1:] for row in crowds[1:]}
    assert {what: found[what] for what in COUNTED} == {
        what: [count, count, count, "yes"] for what, count in COUNTED.items()
    }
    left = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
    assert postgresql.run(left, name) == []
    assert written() == before


def test_the_goal_is_for_the_median_of_the_ratios_of_each_turn() -> None:
    _, row = ratio_rows([Figure("claim", [1.0, 2.0, 4.0], [1.1, 2.2, 40.0])])
    assert row == ("claim", "ms", "2 (1..4)", "2.2 (1.1..40)", "1.1 (1.1..10)", "≤ 1.2", "yes")
    _, row = ratio_rows([Figure("claim", [1.0, 2.0, 4.0], [1.3, 2.6, 4.0])])
    assert row[-1] == "no"


def test_a_single_early_timer_on_either_side_is_told() -> None:
    good = crowds_with(early=0)
    for sides in ((good, crowds_with(early=1)), (crowds_with(early=1), good)):
        (row,) = (one for one in crowd_rows(*sides) if one[0].endswith("woke early"))
        assert row[-2:] == ("0", "no")


def test_sizes_that_cannot_be_measured_are_refused(postgresql: Database) -> None:
    told = run("--suspended=10", "--messages=6")
    assert told.returncode == 2
    assert "half of the suspended flows wait for a message" in told.stderr
    told = run("--finished=1000000000000", f"--name=bench_scale_test_{os.getpid()}")
    assert told.returncode == 1
    assert "does not fit on the server's disk" in told.stderr
