"""Sweeps everything, or shows one run.

    python -m tests.simulation.sweep [--jobs N] [--part single|pairs] [--every N] [SCENARIO…]
    python -m tests.simulation.sweep --show SCENARIO LAYOUT BLOW…

With `--every N`, one run in N is made. A blow is written as `7:late:once`: the operation's number,
the fault, and how far it reaches.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator

from tests.simulation.sweep.campaign import PAIRED, Report, Sweep
from tests.simulation.sweep.faults import Blow
from tests.simulation.sweep.run import Layout, in_silence, run
from tests.simulation.sweep.scenarios import SCENARIOS

SINGLE = "single"
PAIRS = "pairs"
SHOWN = 5

Task = tuple[str, Layout, str, int]


def tasks(names: list[str], part: str | None, every: int) -> Iterator[Task]:
    """Give what is to be swept, the longest first."""
    chosen = [one for one in SCENARIOS if one in names or not names]
    if part != SINGLE:
        for layout, paired in PAIRED.items():
            yield from ((name, layout, PAIRS, every) for name in chosen if name in paired)
    if part != PAIRS:
        for layout in (Layout.APART, Layout.ALONE):
            yield from ((name, layout, SINGLE, every) for name in chosen)


def sweep(task: Task) -> tuple[Task, Report, float]:
    """Do one of them."""
    gc.freeze()  # what is there now stays: a collection after each run need not look at it
    name, layout, part, every = task
    begin = time.process_time()
    with in_silence():
        one = Sweep(SCENARIOS[name], layout, every)
        report = one.single() if part == SINGLE else one.pairs()
    return task, report, time.process_time() - begin


def sweep_all(work: list[Task], jobs: int) -> Iterator[tuple[Task, Report, float]]:
    """Do all of them."""
    if jobs == 1:
        yield from map(sweep, work)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(sweep, work)


def tell(done: tuple[Task, Report, float]) -> Report:
    """Print a line on what one sweep found."""
    (name, layout, part, _), report, seconds = done
    print(
        f"{name:<24} {layout.value:<7} {part:<7} {report.operations:>4} operations "
        f"{report.runs:>6} runs {seconds:>7.1f} s {len(report.found):>4} broken",
        flush=True,
    )
    for found in report.found[:SHOWN]:
        print(f"    {found.blows}: {found.violations[0][:300]}")
    return report


def show(name: str, layout: str, *blows: str) -> int:
    """Print what happens in one run."""
    scenario = SCENARIOS[name]
    with in_silence():
        expected = run(scenario, Layout(layout)).results
        verdict = run(scenario, Layout(layout), [Blow.parse(one) for one in blows], expected)
    for line in verdict.lines:
        what = f"{line.flow} {line.effect}".strip()
        value = "" if line.value is None else line.value
        text = f"{line.at / 1e6:>10.6f}  p{line.pid:<3} {line.kind:<10} {what} {value}"
        print(text[:200])
    print(*verdict.violations or ["no promise is broken"], sep="\n")
    return min(len(verdict.violations), 1)


def main() -> int:
    """Sweep, and tell what was found; the number of broken runs, for the shell."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.sweep")
    parser.add_argument("scenarios", nargs="*")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--part", choices=[SINGLE, PAIRS])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--show", nargs="+")
    wanted = parser.parse_args()
    if wanted.show:
        return show(*wanted.show)
    work = list(tasks(wanted.scenarios, wanted.part, wanted.every))
    begin = time.perf_counter()
    reports = list(map(tell, sweep_all(work, wanted.jobs)))
    minutes = (time.perf_counter() - begin) / 60
    broken = sum(len(report.found) for report in reports)
    runs = sum(report.runs for report in reports)
    print(f"{runs:,} runs in {minutes:.1f} minutes, {broken} with a broken promise")
    met = sum((Counter(report.met) for report in reports), Counter[str]())
    for name, times in sorted(met.items()):
        print(f"    {name:<24}{times:>12,}")
    return min(broken, 100)


if __name__ == "__main__":
    sys.exit(main())
