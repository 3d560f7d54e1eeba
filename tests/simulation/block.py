"""The seeds that every run of the tests lives through, once, whichever test asks first."""

from __future__ import annotations

import os
from functools import cache

from tests.simulation.campaign import Found, live_through_all

SEEDS = int(os.environ.get("UNBROKEN_SEEDS") or (5_000 if os.environ.get("CI") else 150))
IS_WHOLE = SEEDS >= 5_000
"""Whether so many seeds are lived through that every mark must be met, the rarest too."""


@cache
def block() -> Found:
    """Live through the seeds, on two cores."""
    return live_through_all(range(SEEDS), jobs=2)
