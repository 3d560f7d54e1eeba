"""A short torture: random programs in three processes that are killed and frozen at random."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.crash.torture.report import Report

ROOT = Path(__file__).resolve().parents[2]
KILLS = 40
GAP = "0.15"

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]


def test_no_promise_is_broken_by_forty_random_kills(store: str, tmp_path: Path) -> None:
    torture = [sys.executable, "-m", "tests.crash.torture", "--json", "--kills", str(KILLS)]
    done = subprocess.run(
        [*torture, "--gap", GAP, "--store", store, "--folder", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=False,
    )
    report = msgspec.json.decode(done.stdout, type=Report)
    assert report.violations == [], f"seed {report.seed}"
    assert report.failures == [], f"seed {report.seed}"
    assert done.returncode == 0
    counts = report.counts
    assert counts.kills == KILLS
    assert counts.flows >= 30
    assert counts.takeovers >= KILLS / 2
    assert counts.begun_again_after_a_kill > 0
    assert counts.at_most_once_begun > 0
    assert counts.messages_duplicate > 0
