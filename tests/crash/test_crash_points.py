"""A process is killed before and after everything it does; another one finishes its flow."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from tests.crash.cases import CASES, ORPHANS
from tests.crash.sweep import Report

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]


# On PostgreSQL a sweep takes half a minute. Those are swept there in which other statements of the
# store run; UNBROKEN_SWEEP=whole sweeps all.
FLOWS = {"at_most_once", "branches", "correlations", "messages", "parent"}
TAKEOVERS = {"at_most_once", "locks"}


def swept(cases: Iterable[str], on_postgresql: set[str]) -> list[tuple[str, str]]:
    """Say which case is swept on which store."""
    is_whole = os.environ.get("UNBROKEN_SWEEP") == "whole"
    there = [case for case in cases if is_whole or case in on_postgresql]
    assert on_postgresql <= set(cases)
    return [("sqlite", case) for case in cases] + [("postgresql", case) for case in there]


def sweep(store: str, case: str, folder: Path, *orphaned_at: str) -> Report:
    """Sweep in a process of its own, which has no threads and no event loop: it forks."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.sweep", store, case, str(folder), *orphaned_at],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=Report)


@pytest.mark.parametrize(("store", "case"), swept(CASES, FLOWS), indirect=["store"])
def test_a_flow_survives_a_kill_at_every_point(store: str, case: str, tmp_path: Path) -> None:
    report = sweep(store, case, tmp_path)
    assert report.violations == []
    assert report.missed == []
    assert report.hit >= 20


@pytest.mark.parametrize(("store", "case"), swept(ORPHANS, TAKEOVERS), indirect=["store"])
def test_an_orphan_survives_a_kill_at_every_point_of_its_takeover(
    store: str, case: str, tmp_path: Path
) -> None:
    report = sweep(store, case, tmp_path, ORPHANS[case])
    assert report.violations == []
    assert report.missed == []
    assert report.hit >= 20
    assert any(point == "commit claim" for point in report.passed)


def test_there_are_at_least_ten_different_flows() -> None:
    assert len({id(case.flow) for case in CASES.values()}) >= 10
