"""Makes a failing run smaller, and prints it as a test.

python -m tests.simulation.shrinking SEED [TRIES]

The tape of the run is cut and flattened as long as the same rule stays broken: zero is always the
dullest choice, so a short tape of zeros with a few numbers is a world in which little happens.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence

from tests.simulation.run import Run, Verdict, judge

TRIES = 300
LONGEST_TRACE = 60


def rule_of(verdict: Verdict) -> str | None:
    """Give what was broken first."""
    return verdict.violations[0].partition(":")[0] if verdict.violations else None


def smaller(tape: Sequence[int]) -> Iterator[list[int]]:
    """Give tapes that are a little duller, those that change most first."""
    size = len(tape) // 2
    while size:
        for begin in range(0, len(tape), size):
            yield [*tape[:begin], *tape[begin + size :]]
            if any(tape[begin : begin + size]):
                yield [*tape[:begin], *([0] * size), *tape[begin + size :]]
        size //= 2


def shrink(seed: int, tries: int = TRIES) -> tuple[list[int], str] | None:
    """Give the dullest tape found on which the same rule is broken; None if none is."""
    first = judge(seed)
    rule = rule_of(first)
    if rule is None:
        return None
    best = first.tape
    while tries > 0:
        for tape in smaller(best):
            tries -= 1
            if tries < 0 or rule_of(judge(seed, tape)) == rule:
                break
        else:
            break
        if tries >= 0:
            best = tape
            while best and best[-1] == 0:
                best.pop()
    return best, rule


def main() -> int:
    """Shrink a seed, and print its trace and a test."""
    seed = int(sys.argv[1])
    tries = int(sys.argv[2]) if len(sys.argv) > 2 else TRIES
    logging.disable(logging.CRITICAL)
    found = shrink(seed, tries)
    if found is None:
        print(f"seed {seed} breaks no promise")
        return 1
    tape, rule = found
    run = Run(seed, tape)
    verdict = run.judge()
    for line in run.world.lines[-LONGEST_TRACE:]:
        name = f"{line.flow} {line.effect}".strip()
        print(
            f"{line.at / 1e6:>10.6f}  p{line.pid:<3} {line.kind:<10} {name} {line.value or ''}"[
                :150
            ]
        )
    print(f"\n{verdict.weather}; {len(tape)} choices, {verdict.turns} turns\n")
    print(f"def test_seed_{seed}() -> None:")
    print(f"    tape = {tape}")
    print(f"    assert judge({seed}, tape).violations == []  # {rule}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
