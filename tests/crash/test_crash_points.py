"""A process is killed before and after everything it does; another one finishes its flow."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.crash.cases import CASES, ORPHANS
from tests.crash.sweep import Report

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]


def sweep(case: str, folder: Path, *orphaned_at: str) -> Report:
    """Sweep in a process of its own, which has no threads and no event loop: it forks."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.sweep", case, str(folder), *orphaned_at],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=Report)


@pytest.mark.parametrize("case", CASES)
def test_a_flow_survives_a_kill_at_every_point(case: str, tmp_path: Path) -> None:
    report = sweep(case, tmp_path)
    assert report.violations == []
    assert report.hit == report.points >= 20


@pytest.mark.parametrize("case", ORPHANS)
def test_an_orphan_survives_a_kill_at_every_point_of_its_takeover(
    case: str, tmp_path: Path
) -> None:
    report = sweep(case, tmp_path, ORPHANS[case])
    assert report.violations == []
    assert report.hit == report.points >= 20
    assert any(point == "commit claim" for point in report.passed)


def test_there_are_at_least_ten_different_flows() -> None:
    assert len({id(case.flow) for case in CASES.values()}) >= 10
