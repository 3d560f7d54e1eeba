"""Runs many sequences on SQLite in memory and says what they found.

python -m tests.stores.differential FIRST COUNT
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter

from tests.stores.differential.fresh import run_seed


async def main() -> int:
    first, count = int(sys.argv[1]), int(sys.argv[2])
    bad = 0
    met: Counter[str] = Counter()
    begin = time.perf_counter()
    for seed in range(first, first + count):
        comparison, difference = await run_seed(seed)
        met += comparison.met
        if difference is not None:
            bad += 1
            print(f"seed {seed}: {str(difference)[:1500]}")
    print(f"{count} sequences, {bad} differ; {time.perf_counter() - begin:.1f} s")
    for name, times in sorted(met.items()):
        print(f"    {name:<28}{times:>10,}")
    return min(bad, 100)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
