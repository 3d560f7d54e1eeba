"""Points at which a process ends itself by SIGKILL.

Everything a process does to the store and to the outside world is counted in the order in which it
begins. `UNBROKEN_KILL_AT=<n>:<before|after>` ends the process exactly before or after the n-th.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Literal

KILL_AT = "UNBROKEN_KILL_AT"

Side = Literal["before", "after"]
SIDES: tuple[Side, Side] = ("before", "after")


class KillPoints:
    """Counts points, and remembers what they were."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kill_at: tuple[int, str] | None = None
        self.passed: list[str] = []

    def arm(self) -> None:
        """Take the point to die at from the environment, and count from one."""
        wanted = os.environ.get(KILL_AT)
        if wanted is not None:
            number, _, side = wanted.partition(":")
            assert side in SIDES
            self._kill_at = int(number), side
        self.passed = []

    def before(self, what: str) -> int:
        """Something is about to be done; give its number."""
        with self._lock:
            self.passed.append(what)
            number = len(self.passed)
        self._die_if((number, "before"))
        return number

    def after(self, number: int) -> None:
        """It was done, and nobody was told yet."""
        self._die_if((number, "after"))

    def _die_if(self, point: tuple[int, str]) -> None:
        if point == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # this thread must not get further than the signal


POINTS = KillPoints()
