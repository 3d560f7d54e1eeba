"""Runs the figures and prints them; a whole run also writes them into RESULTS.md."""

from __future__ import annotations

import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

from benchmarks import effects, flows, idle, memory, resume
from benchmarks.report import Line, results_page
from benchmarks.turns import PAIRS, QUICK_PAIRS, Plan

FIGURES: dict[str, Callable[[Plan], list[Line]]] = {
    "effects": effects.figure,
    "flows": flows.figure,
    "resume": resume.figure,
    "memory": memory.figure,
    "idle": idle.figure,
}
HERE = Path(__file__).parent


def run_figures(names: list[str], *, quick: bool) -> list[Line]:
    """Run figures by name; the databases lie in the current folder, on a real disk."""
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix=".benchmarks-", dir=Path.cwd()) as folder:
        for name in names:
            begun = time.perf_counter()
            print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
            lines += FIGURES[name](Plan(Path(folder), quick=quick))
            print(f"{time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    return lines


def main() -> None:
    """Run what the command line asks for."""
    parser = ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and few turns: a look, not a figure"
    )
    parser.add_argument(
        "--only", action="append", choices=FIGURES, metavar="NAME", help=", ".join(FIGURES)
    )
    options = parser.parse_args()
    lines = run_figures(options.only or list(FIGURES), quick=options.quick)
    page = results_page(lines, pairs=QUICK_PAIRS if options.quick else PAIRS)
    print(page)
    if not options.quick and not options.only:
        (HERE / "RESULTS.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
