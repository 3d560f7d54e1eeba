"""Points at which a process ends itself by SIGKILL.

Everything a process does to the store and to the outside world has a name, and each name is counted
by itself: how often a process reads is chance, and must not move what comes after it.
`UNBROKEN_KILL_AT=<before|after>:<n>:<name>` ends the process exactly before or after the n-th of a
name.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from typing import Literal, NamedTuple

KILL_AT = "UNBROKEN_KILL_AT"

Side = Literal["before", "after"]
SIDES: tuple[Side, Side] = ("before", "after")


class Passed(NamedTuple):
    """Something a process did: its name, and how often it had done the like, with this time."""

    what: str
    time: int

    def __str__(self) -> str:
        return f"{self.time}:{self.what}"


class KillPoints:
    """Counts points, and remembers what they were."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kill_at: str | None = None
        self._times: Counter[str] = Counter()
        self.passed: list[Passed] = []

    def arm(self) -> None:
        """Take the point to die at from the environment, and count from one."""
        self._kill_at = os.environ.get(KILL_AT)
        assert self._kill_at is None or self._kill_at.startswith(SIDES)
        self._times.clear()
        self.passed = []

    def before(self, what: str) -> Passed:
        """Something is about to be done; give what it is called from now on."""
        with self._lock:
            self._times[what] += 1
            passed = Passed(what, self._times[what])
            self.passed.append(passed)
        self._die_if("before", passed)
        return passed

    def after(self, passed: Passed) -> None:
        """It was done, and nobody was told yet."""
        self._die_if("after", passed)

    def _die_if(self, side: Side, passed: Passed) -> None:
        if f"{side}:{passed}" == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # this thread must not get further than the signal


POINTS = KillPoints()
