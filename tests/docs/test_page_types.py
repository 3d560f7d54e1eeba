"""Programs that readers copy have no type errors: two strict checkers over pages and examples."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from tests.programs import EXAMPLES


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the blocks of the pages and the examples, each as a module."""
    folder = tmp_path_factory.mktemp("checked")
    for block in blocks():
        name = re.sub(r"\W", "_", str(block))
        (folder / f"{name}.py").write_text(block.source, encoding="utf-8")
    for example in EXAMPLES.glob("*.py"):
        (folder / example.name).write_text(example.read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def check(module: str, *arguments: str, folder: Path) -> str:
    environment = {**os.environ, "MYPYPATH": str(ROOT / "src"), "PYTHONPATH": ""}
    environment["PYRIGHT_PYTHON_IGNORE_WARNINGS"] = "1"
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_mypy_finds_nothing(programs: Path, tmp_path: Path) -> None:
    files = sorted(file.name for file in programs.glob("*.py"))
    settings = ["--strict", "--python-version", "3.11", "--cache-dir", str(tmp_path)]
    assert len(files) >= 30
    assert check("mypy", *settings, *files, folder=programs) == ""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_pyright_finds_nothing(programs: Path) -> None:
    settings = {
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "extraPaths": [str(ROOT / "src")],
    }
    (programs / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    assert check("pyright", "--pythonpath", sys.executable, folder=programs) == ""
