"""Hears of other processes' commits by looking at two files, without any SQL."""

from __future__ import annotations

from collections.abc import Callable

from unbroken.model.clock import Clock
from unbroken.stores.sqlite.lock import Stamp, WriterLock

GLANCE = 0.03


class WalBus:
    """Looks at the lock file's counts and, for strangers' writes, at the WAL itself.

    Whether a neighbour died it sees by the lock that its process held on a byte of the lock file.
    """

    def __init__(self, lock: WriterLock, clock: Clock) -> None:
        self._lock = lock
        self._clock = clock

    async def listen(self, wake: Callable[[], None], regroup: Callable[[], None]) -> None:
        """Call `wake` within some 30 ms of another process's commit; runs until cancelled."""
        commits, _ = self._lock.commits_of_others()
        members = self._lock.members()
        before = heard = self._lock.wal_stamp()
        while True:
            await self._clock.sleep(GLANCE)
            now, known = self._lock.commits_of_others()
            stamp = self._lock.wal_stamp()
            if now != commits or (stamp != heard and self._is_strange(stamp, before, known)):
                commits, heard = now, stamp
                wake()
            before = stamp
            joined, members = self._lock.members() != members, self._lock.members()
            if joined or self._lock.lost_neighbours():
                regroup()

    @staticmethod
    def _is_strange(stamp: Stamp, before: Stamp, known: Stamp | None) -> bool:
        """Whether somebody wrote who keeps no count. A commit in flight looks so for one glance."""
        return known is None or (stamp == before and stamp != known)
