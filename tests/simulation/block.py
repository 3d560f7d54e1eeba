"""The seeds that every run of the tests lives through, once, whichever test asks first."""

from __future__ import annotations

import fcntl
import os
import tempfile
from functools import cache
from pathlib import Path

import msgspec

from tests.simulation.campaign import Found, live_through_all

SEEDS = int(os.environ.get("UNBROKEN_SEEDS") or (5_000 if os.environ.get("CI") else 150))
IS_WHOLE = SEEDS >= 5_000
"""Whether so many seeds are lived through that every mark must be met, the rarest too."""


class Kept(msgspec.Struct):
    """What a run of the tests found."""

    run: str
    found: Found


@cache
def block() -> Found:
    """Live through the seeds, on two cores; the processes of one run of the tests do so once."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        return live_through_all(range(SEEDS), jobs=2)
    with (Path(tempfile.gettempdir()) / "unbroken-block").open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        kept = _decoded(file.read())
        if kept is None or kept.run != run:
            kept = Kept(run, live_through_all(range(SEEDS), jobs=2))
            file.truncate(0)
            file.write(msgspec.msgpack.encode(kept))
        return kept.found


def _decoded(text: bytes) -> Kept | None:
    try:
        return msgspec.msgpack.decode(text, type=Kept, dec_hook=lambda kind, value: kind(value))
    except msgspec.DecodeError:
        return None  # nothing yet, or of an older form
