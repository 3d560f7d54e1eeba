"""Prints the table: each mutant, the seed that killed it, and the rule that spoke."""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import msgspec

from tests.programs import ROOT
from tests.simulation.mutants import MUTANTS
from tests.simulation.mutants.hunting import Killer, Wreck, killer_of

SEEDS = 2000
# Seconds for one mutant, at most: one that never gives control back is found out too.
LONGEST_HUNT = 1800


class Hunt(msgspec.Struct, frozen=True):
    """What became of one mutant: who killed it, or why it could not be tried."""

    killer: Killer | None = None
    wrecked: str = ""


def main() -> int:
    """Print the table; how many were not found out that should be, for the shell."""
    parser = argparse.ArgumentParser(prog="tests.simulation.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants whose name holds one of these")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--one", help="hunt this mutant here and print what was found as JSON")
    asked = parser.parse_args()
    if asked.one is not None:
        print(msgspec.json.encode(_hunt_here(asked.one, asked.seeds, asked.first)).decode())
        return 0
    names = [name for name in MUTANTS if any(word in name for word in asked.words or [""])]
    with ThreadPoolExecutor(asked.jobs) as pool:
        hunts = {name: pool.submit(_hunt, name, asked.seeds, asked.first) for name in names}
        unexpected = sum(_tell(name, hunt.result()) for name, hunt in hunts.items())
    print(f"{len(names)} mutants, {unexpected} that should have been found out and were not")
    return min(unexpected, 100)


def _hunt_here(name: str, seeds: int, first: int) -> Hunt:
    logging.lastResort = None
    try:
        return Hunt(killer_of(MUTANTS[name], range(first, first + seeds)))
    except Wreck as wreck:
        return Hunt(wrecked=str(wreck))


def _hunt(name: str, seeds: int, first: int) -> Hunt:
    """Hunt a mutant in a process of its own, which it may take down."""
    program = [sys.executable, "-m", "tests.simulation.mutants", "--one", name]
    program += ["--seeds", str(seeds), "--first", str(first)]
    try:
        done = subprocess.run(
            program, cwd=ROOT, env=os.environ, capture_output=True, timeout=LONGEST_HUNT, check=True
        )
    except subprocess.TimeoutExpired:
        return Hunt(wrecked=f"no end within {LONGEST_HUNT} seconds")
    except subprocess.CalledProcessError as error:
        return Hunt(wrecked=error.stderr.decode()[-300:])
    return msgspec.json.decode(done.stdout, type=Hunt)


def _tell(name: str, hunt: Hunt) -> bool:
    """Print a line; whether it tells of something that should not be so."""
    survives, killer = MUTANTS[name].survives, hunt.killer
    if killer is not None:
        told = f"{killer.seed:>5}  {killer.rule[:60]}"
    elif hunt.wrecked:
        told = f"WRECK  {hunt.wrecked}"
    else:
        told = f"lives  {survives}" if survives else "SURVIVED"
    print(f"{name:<80}{told}", flush=True)
    return killer is None and not survives


if __name__ == "__main__":
    sys.exit(main())
