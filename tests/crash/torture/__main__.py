"""`python -m tests.crash.torture --kills 1000 [--seed N] [--gap SECONDS] [--folder F] [--store S]`.

Exit code 1 if a promise was broken or a flow is stuck. The same seed gives the same programs and
the same orders to kill; what they hit is up to the machine.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

import msgspec

from tests.crash.databases import databases
from tests.crash.torture.director import Director
from tests.crash.torture.report import printed, report


def main() -> int:
    """Torment, check, and say what was found."""
    parser = argparse.ArgumentParser(prog="tests.crash.torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--gap", type=float, default=0.1, help="mean seconds between two kills")
    parser.add_argument("--folder", type=Path, help="where to leave database, ledger and logs")
    parser.add_argument("--store", default="sqlite", help="sqlite, or a PostgreSQL URL")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="unbroken-torture-"))
    folder.mkdir(exist_ok=True)
    if not chosen.json:
        print(f"seed {chosen.seed}, {chosen.kills} kills, in {folder}", flush=True)
    stored = databases(chosen.store)
    director = Director(chosen.seed, folder, stored, gap=chosen.gap, say=not chosen.json)
    director.run(chosen.kills)
    done = report(chosen.seed, folder, stored, director)
    print(msgspec.json.encode(done).decode() if chosen.json else printed(done))
    return 0 if done.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
