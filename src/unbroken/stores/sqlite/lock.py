"""One writer at a time, over all processes: a lock on a file beside the database.

SQLite has such a lock itself, but its waiters sleep in growing naps, and before 3.51.3 (3.50.7,
3.44.6) it leaves a gap: a commit that restarts the WAL while another connection begins a
checkpoint makes that checkpoint note pages as copied that were not, and they are lost (the
WAL-reset bug). Keeping two checkpoints apart is not enough, SQLite does that already. So whoever of
ours writes *or* checkpoints holds this lock, whatever its version: a checkpoint never meets a
commit. Readers do neither and need no lock; the checkpoint of the last connection that closes runs
under SQLite's own exclusive lock. Not covered: other programs that write or checkpoint the same
file on their own, and systems without `fcntl`.

The file also counts commits, which tells a watcher of another process's writes without asking SQL.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

from unbroken.model.errors import StoreUnavailable

if sys.platform != "win32":
    import fcntl

LONGEST_NAP = 0.005
# Commits that others should hear of; size and time of the WAL after the last commit.
MARK = struct.Struct("<QQQ")
# How many replicas were ever registered stands behind it.
MEMBERS = struct.Struct("<Q")
# Bytes far behind the end of the file, one for each replica, which its process keeps locked.
FIRST_PRESENCE = 1 << 32
OFD_LOCK = struct.Struct("hhqqi")

Stamp = tuple[int, int]


class WriterLock:
    """Held around each write transaction and each checkpoint; not reentrant."""

    def __init__(self, database: str, patience: float) -> None:
        self._path = f"{database}-lock"
        self._wal = Path(f"{database}-wal")
        self._patience = patience
        self._file: int | None = None
        self._own = 0
        self._own_replicas: set[str] = set()
        self._neighbours: frozenset[str] = frozenset()

    def open(self) -> None:
        """Open the file; raises StoreUnavailable."""
        if sys.platform == "win32" or self._file is not None:
            return
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StoreUnavailable(
                f"cannot open {self._path}: {error.strerror}: the folder is missing or read-only"
            ) from error

    def close(self) -> None:
        """Close the file, which stays where it is: others may hold it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self._own_replicas.clear()

    def __enter__(self) -> None:
        if sys.platform == "win32" or self._file is None:
            return
        nap, waited = 0.0001, 0.0
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waited >= self._patience:
                    raise StoreUnavailable(
                        f"another process has held {self._path} for {waited:.0f} s"
                    ) from None
                threading.Event().wait(nap)
                waited += nap
                nap = min(nap * 1.5, LONGEST_NAP)
            except OSError as error:
                raise StoreUnavailable(f"cannot lock {self._path}: {error.strerror}") from error
            else:
                return

    def __exit__(self, *_: object) -> None:
        if sys.platform == "win32" or self._file is None:
            return
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def count_commit(self, *, quiet: bool) -> None:
        """Say that this process committed; call it under the lock. A quiet commit wakes nobody.

        Never raises: the commit stands, and who was not woken finds it by a poll.
        """
        if sys.platform == "win32" or self._file is None:
            return
        try:
            commits, _ = self._mark(self._file)
            if not quiet:
                commits += 1
            os.pwrite(self._file, MARK.pack(commits, *self.wal_stamp()), 0)
        except OSError:
            return
        if not quiet:
            self._own += 1

    def wal_stamp(self) -> Stamp:
        """Give size and time of the WAL; zeros if there is none."""
        try:
            stat = self._wal.stat()
        except OSError:
            return 0, 0
        return stat.st_size, stat.st_mtime_ns

    def commits_of_others(self) -> tuple[int, Stamp | None]:
        """Count other processes' commits, and give the WAL's stamp after the last one of all."""
        if sys.platform == "win32" or self._file is None:
            return 0, None
        commits, stamp = self._mark(self._file)
        return commits - self._own, stamp

    @staticmethod
    def _mark(file: int) -> tuple[int, Stamp]:
        if sys.platform == "win32":
            return 0, (0, 0)
        mark = os.pread(file, MARK.size, 0)
        if len(mark) < MARK.size:
            return 0, (0, 0)
        commits, size, time = MARK.unpack(mark)
        return commits, (size, time)

    # who is there

    def join(self, replica: str) -> None:
        """Keep a byte locked for as long as this process lives, and tell the others to look."""
        if sys.platform != "linux" or self._file is None:
            return
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _byte_of(replica, fcntl.F_WRLCK))
        self._own_replicas.add(replica)
        with self:
            members = MEMBERS.pack(self.members() + 1)
            os.pwrite(self._file, members, MARK.size)

    def members(self) -> int:
        """Count the replicas that ever joined."""
        if self._file is None:
            return 0
        count = os.pread(self._file, MEMBERS.size, MARK.size)
        return MEMBERS.unpack(count)[0] if len(count) == MEMBERS.size else 0

    def gone(self, replicas: Iterable[str]) -> list[str]:
        """Tell which replicas' processes are known to have ended; remember the others.

        Only on Linux; elsewhere nobody is known to be gone before the lease is over. A process that
        forked lets go only when its children do: that too is found by the lease.
        """
        if sys.platform != "linux" or self._file is None:
            return []
        others = frozenset(replicas) - self._own_replicas
        gone = [replica for replica in others if not self._is_held(replica)]
        self._neighbours = others.difference(gone)
        return gone

    def lost_neighbours(self) -> bool:
        """Whether a replica that was there at the last look is gone now; tells it once."""
        before = self._neighbours
        return bool(before) and bool(self.gone(before))

    def _is_held(self, replica: str) -> bool:
        if sys.platform != "linux" or self._file is None:
            return True
        asked = fcntl.fcntl(self._file, fcntl.F_OFD_GETLK, _byte_of(replica, fcntl.F_WRLCK))
        return OFD_LOCK.unpack(asked)[0] != fcntl.F_UNLCK


def _byte_of(replica: str, kind: int) -> bytes:
    digest = blake2b(replica.encode(), digest_size=6).digest()
    return OFD_LOCK.pack(kind, os.SEEK_SET, FIRST_PRESENCE + int.from_bytes(digest), 1, 0)
