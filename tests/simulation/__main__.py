"""Runs many seeds on all cores and says what they found.

python -m tests.simulation FIRST COUNT [JOBS]
"""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress

from tests.simulation import marks
from tests.simulation.campaign import Bad, Found, campaign

# So many seeds are asked for every mark.
WHOLE = 5_000


def main() -> int:
    """Run the seeds; 1 if a promise was broken, or a campaign never met what it had to."""
    first, count = int(sys.argv[1]), int(sys.argv[2])
    jobs = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    begin, whole = time.perf_counter(), Found()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):  # what was found until then counts
        for found in campaign(range(first, first + count), jobs):
            whole.add(found)
            for bad in found.bad:
                tell(bad)
    summarise(whole, time.perf_counter() - begin)
    never = marks.missing(whole.met) if whole.seeds >= WHOLE else []
    if never:
        print(f"never met: {', '.join(never)}")
    return 1 if whole.bad or never else 0


def tell(bad: Bad) -> None:
    """Say what was broken, and how to look into it."""
    print(f"seed {bad.seed}: {bad.weather}")
    for text in bad.violations[:4]:
        print(f"    {text[:400]}")
    print(f"    smaller: python -m tests.simulation.shrinking {bad.seed}", flush=True)


def summarise(whole: Found, seconds: float) -> None:
    """Print the figures and the ledger of marks."""
    print(
        f"{whole.seeds:,} seeds, {len(whole.bad)} with a broken promise; "
        f"{whole.seeds / seconds * 60:,.0f} a minute, "
        f"{whole.seeds / (whole.worked or 1) * 60:,.0f} a minute of a core; "
        f"{whole.turns:,} turns of the loop, {whole.lived / 3600:,.1f} simulated hours"
    )
    print(marks.table(whole.met))
    print("beside them:")
    for name, times in marks.others(whole.met):
        print(f"    {name:<48}{times:>10,}")


if __name__ == "__main__":
    sys.exit(main())
