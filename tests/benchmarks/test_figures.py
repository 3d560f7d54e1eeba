"""The benchmarks run and say something; how fast is no matter of a test."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIGURE = re.compile(r"[\d.,]*\d")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def rows(figures: list[str], folder: Path) -> list[list[str]]:
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", *figures],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    head, _, *found = [cells(line) for line in told.stdout.splitlines() if line.startswith("|")]
    assert head == ["what", "unit", "ours", "raw limit", "ratio", "goal", "reached"]
    return found


@pytest.mark.slow
def test_a_quick_run_shows_a_figure_and_its_raw_limit_in_each_row(tmp_path: Path) -> None:
    found = rows(["--only", "effects", "--only", "flows"], tmp_path)
    assert len(found) == 7
    for row in found:
        assert row[0]
        assert all(FIGURE.match(cell) for cell in row[2:5]), row
    assert list(tmp_path.iterdir()) == []


def test_a_quick_run_does_not_touch_the_results(tmp_path: Path) -> None:
    results = ROOT / "benchmarks" / "RESULTS.md"
    before = results.stat().st_mtime_ns if results.exists() else None
    assert len(rows(["--only", "flows"], tmp_path)) == 2
    after = results.stat().st_mtime_ns if results.exists() else None
    assert after == before
