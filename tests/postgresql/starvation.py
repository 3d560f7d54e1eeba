"""How long the machine let somebody wait who could have run: no fault of what is measured.

Linux alone tells it. Elsewhere nothing is known of it, and a bound holds as it stands.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
NANOSECONDS = 1_000_000_000
# Of the first line of /proc/stat: time in which the processors served other machines.
STOLEN = 8


class Starvation:
    """The time that these processes wait for a processor from now on, one after the other.

    Of a process its first thread counts, which runs its event loop.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._began = {pid: _queued(pid) for pid in pids}
        self._stolen = _stolen()

    def seconds(self) -> float:
        """Give how long it was so far; of a process that has ended nothing is known."""
        queued = sum(max(0.0, _queued(pid) - before) for pid, before in self._began.items())
        return queued + _stolen() - self._stolen


def _queued(pid: int) -> float:
    """Give how long a process has stood in the queue for a processor, since it began."""
    with suppress(OSError):
        _, waited, _ = (PROC / str(pid) / "schedstat").read_text().split()
        return int(waited) / NANOSECONDS
    return 0.0


def _stolen() -> float:
    with suppress(OSError):
        first = (PROC / "stat").read_text().partition("\n")[0].split()
        return int(first[STOLEN]) / os.sysconf("SC_CLK_TCK")
    return 0.0
