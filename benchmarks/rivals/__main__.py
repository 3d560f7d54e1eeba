"""Installs the rivals, runs the rounds, and writes RIVALS.md and its plot beside it.

Each turn is kept in .benchmarks-rivals/turns.jsonl as soon as it is over; `--add` adds to them,
`--report` only writes the page again. The server: UNBROKEN_POSTGRES_URL.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict, fields, replace
from pathlib import Path

from benchmarks.rivals.conditions import Conditions, conditions_now
from benchmarks.rivals.contest import DELAYED_WORKS, WORKS, Contest, Turn, prepare, stores
from benchmarks.rivals.databases import ROOT, Server
from benchmarks.rivals.environments import ABSURD, DBOS, check_python
from benchmarks.rivals.page import rivals_page
from benchmarks.rivals.plot import drawing
from benchmarks.rivals.work import Sizes

HOME = ROOT / ".benchmarks-rivals"
TURNS = HOME / "turns.jsonl"
CONDITIONS = HOME / "conditions.json"
PAGE = ROOT / "benchmarks" / "RIVALS.md"
PLOT = PAGE.with_suffix(".svg")
SERVER = "postgresql://postgres@127.0.0.1:5432/postgres"
DELAYS = (0.0, 1.0, 5.0)
QUICK = Sizes(callers=20, flows=40, effects=5, side_by_side=10, rounds=5, sleepers=50, lead=12)


def options() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(prog="python -m benchmarks.rivals", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="rounds of turns (%(default)s)")
    parser.add_argument("--only", action="append", choices=WORKS, help="one work; may be repeated")
    parser.add_argument("--delay", action="append", type=float, help="ms added; may be repeated")
    parser.add_argument("--size", action="append", default=[], help="effects=20, sleepers=2000, …")
    parser.add_argument("--quick", action="store_true", help="tiny: does it run? Writes no page")
    parser.add_argument(
        "--add",
        action="store_true",
        help="keep the turns, but for those taken again",
    )
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page")
    return parser.parse_args()


def sizes_of(chosen: Namespace) -> Sizes:
    """Give the sizes of a run."""
    sizes = QUICK if chosen.quick else Sizes()
    kinds = {one.name: type(getattr(sizes, one.name)) for one in fields(sizes)}
    for written in chosen.size:
        name, _, value = written.partition("=")
        sizes = replace(sizes, **{name: kinds[name](value)})
    return sizes


async def measure(chosen: Namespace, server: Server, file: Path) -> None:
    """Run the rounds of every work and delay, and keep each turn."""
    await prepare(server, HOME)
    contest = Contest(server, HOME, sizes_of(chosen), 5 if chosen.quick else 30)
    try:
        for delay in chosen.delay or DELAYS:
            for work in chosen.only or (DELAYED_WORKS if delay else WORKS):
                print(f"{work}, {delay:g} ms added", file=sys.stderr, flush=True)
                async for turn in contest.rounds(work, delay, chosen.pairs):
                    with file.open("a", encoding="utf-8") as lines:
                        lines.write(json.dumps(asdict(turn)) + "\n")
    finally:
        await server.clean_up(stores())


def write_page(turns: list[Turn], conditions: Conditions) -> None:
    """Write the table and the plot."""
    PAGE.write_text(rivals_page(turns, conditions), encoding="utf-8")
    PLOT.write_text(drawing(turns), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}, {PLOT.relative_to(ROOT)}", file=sys.stderr)


def read_turns(file: Path) -> list[Turn]:
    """Read the turns that were kept; of one that was taken again, the last."""
    lines = file.read_text(encoding="utf-8").splitlines()
    turns = [Turn(**json.loads(line)) for line in lines]
    return list({(one.work, one.delay_ms, one.contender, one.round): one for one in turns}.values())


async def main() -> None:
    """Do what the command line asks for."""
    chosen = options()
    if not chosen.report:
        check_python()
        server = Server(os.environ.get("UNBROKEN_POSTGRES_URL", SERVER))
        settings = await server.settings()
        HOME.mkdir(exist_ok=True)
        for environment in (DBOS, ABSURD):
            environment.install(HOME)
        file = HOME / "quick.jsonl" if chosen.quick else TURNS
        if not chosen.add:
            file.unlink(missing_ok=True)
        before = os.getloadavg()[2]
        await measure(chosen, server, file)
        if chosen.quick:
            return
        CONDITIONS.write_text(json.dumps(asdict(conditions_now(settings, HOME, before))))
    write_page(read_turns(TURNS), Conditions(**json.loads(CONDITIONS.read_text())))


if __name__ == "__main__":
    asyncio.run(main())
