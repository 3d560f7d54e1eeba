"""One connection, its transactions, and what becomes of it after an error."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any, TypeVar

from unbroken.model.clock import Clock
from unbroken.model.errors import ConfigurationError, OutcomeUnknown, StoreError
from unbroken.stores.sql import read_catalogue
from unbroken.stores.sqlite.faults import DAMAGED, Complaint, explain, is_undecodable, primary_code
from unbroken.stores.sqlite.lock import WriterLock
from unbroken.stores.transactions.rows import json
from unbroken.stores.transactions.transaction import DamagedRow

SQL = read_catalogue(files("unbroken.stores.sqlite") / "sql")

BUSY_SECONDS = 5.0
# About a thousand pages. The WAL file is cut to this size when it starts over, so a larger one
# means that it has grown since: that is how the writer knows, without asking, when to checkpoint.
WAL_LIMIT = 4 << 20

WRITER = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA wal_autocheckpoint = 0",
    f"PRAGMA journal_size_limit = {WAL_LIMIT}",
)
READER = ("PRAGMA query_only = ON", "PRAGMA wal_autocheckpoint = 0")

# After these the connection is not trusted any more.
BROKEN = frozenset(
    {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
)

T = TypeVar("T")
Connect = Callable[[str], sqlite3.Connection]
Work = Callable[["Transaction"], Coroutine[Any, Any, T]]


def connect(path: str) -> sqlite3.Connection:
    """Open a connection whose transactions are ours to begin and end."""
    return sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )


class Transaction:
    """Statements of the catalogue in one open transaction, and the time it runs at.

    All of it answers at once: its methods never wait. Write transactions come one after the other,
    so nothing needs a lock of its own.
    """

    __slots__ = ("_cursor", "now")

    def __init__(self, cursor: sqlite3.Cursor, now: int) -> None:
        self._cursor = cursor
        self.now = now

    async def all(self, name: str, /, **values: object) -> list[tuple[Any, ...]]:
        """Run a statement and read every row; raises DamagedRow."""
        try:
            return self._cursor.execute(SQL[name], values).fetchall()
        except sqlite3.OperationalError as error:
            # A statement left half read would hold the connection to its old snapshot.
            self._cursor.close()
            self._cursor = self._cursor.connection.cursor()
            if is_undecodable(error):
                raise DamagedRow("a text is not UTF-8") from None
            raise

    async def first(self, name: str, /, **values: object) -> tuple[Any, ...] | None:
        """Run a statement and read its only row, if there is one; raises DamagedRow."""
        rows = await self.all(name, **values)
        return rows[0] if rows else None

    async def change(self, name: str, /, **values: object) -> int:
        """Run a statement and count the rows it changed."""
        return self._cursor.execute(SQL[name], values).rowcount

    async def insert(self, name: str, /, **values: object) -> int | None:
        """Run an insert and give the number of its row; None if the row was there."""
        cursor = self._cursor.execute(SQL[name], values)
        return cursor.lastrowid if cursor.rowcount == 1 else None

    async def change_many(
        self, name: str, /, rows: Sequence[Mapping[str, object] | Sequence[object]]
    ) -> int:
        """Run a statement for each of the rows and count the rows it changed in all."""
        return self._cursor.executemany(SQL[name], rows).rowcount

    async def define(self, statement: str, /) -> None:
        """Run a statement of a migration."""
        self._cursor.execute(statement)

    def array(self, values: Iterable[object]) -> object:
        """Give a list for `json_each`."""
        return json(values)

    def tells_damage(self, error: Exception) -> bool:
        """Whether an error says that a part of the file cannot be read."""
        return isinstance(error, sqlite3.Error) and primary_code(error) in DAMAGED

    async def lock(self, flows: Sequence[int], names: Sequence[tuple[str, str]]) -> None:
        """Nobody else writes."""

    async def lock_queues(self, queues: Iterable[str]) -> None:
        """Nobody else writes."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the work of a transaction to its end; it never waits for anything."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    work.close()
    raise AssertionError("a transaction waited for something else than its database")


class Session:
    """One connection and its transactions. Used by one thread only; reopens after I/O errors."""

    def __init__(
        self,
        path: str,
        pragmas: tuple[str, ...],
        *,
        clock: Clock,
        lock: WriterLock,
        connect: Connect,
    ) -> None:
        self._path = path
        self._pragmas = pragmas
        self._clock = clock
        self._lock = lock
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._checkpoint_at = WAL_LIMIT

    def open(self) -> sqlite3.Connection:
        """Give the connection, opened anew if it is gone; raises StoreUnavailable, StoreCorrupt."""
        if self._connection is not None:
            return self._connection
        connection: sqlite3.Connection | None = None
        try:
            connection = self._connect(self._path)
            answers = [connection.execute(pragma).fetchone() for pragma in self._pragmas]
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, Complaint):
                raise explain(error) from error
            raise
        if self._pragmas == WRITER and answers[0] != ("wal",):
            connection.close()
            raise ConfigurationError(f"SQLite cannot keep a WAL for {self._path}: use a local disk")
        self._connection = connection
        return connection

    def close(self) -> None:
        """Let go of the connection; a second call does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def write(self, work: Work[T], *, quiet: bool = False) -> T:
        """Run `work` in a transaction; whatever it raises undoes all of it.

        Raises OutcomeUnknown if COMMIT failed in a way that says nothing. A quiet write is one that
        other processes need not hear of.
        """
        with self._lock:
            connection = self.open()
            try:
                connection.execute("BEGIN IMMEDIATE")
                result = run(work(Transaction(connection.cursor(), self._clock.now())))
            except BaseException as error:
                self._undo(connection, error)
                raise
            try:
                connection.execute("COMMIT")
            except Complaint as error:
                self._undo(connection, error, committing=True)
                raise
            self._lock.count_commit(quiet=quiet)
            return result

    def read(self, work: Work[T], *, snapshot: bool = False) -> T:
        """Run `work`; more than one statement needs a snapshot to see one state."""
        connection = self.open()
        try:
            if not snapshot:
                return run(work(Transaction(connection.cursor(), self._clock.now())))
            connection.execute("BEGIN")
            result = run(work(Transaction(connection.cursor(), self._clock.now())))
            connection.execute("COMMIT")
        except BaseException as error:
            self._undo(connection, error)
            raise
        return result

    def checkpoint(self) -> None:
        """Copy the WAL into the database if it has grown; never waits for readers."""
        size, _ = self._lock.wal_stamp()
        if size <= WAL_LIMIT:
            self._checkpoint_at = WAL_LIMIT
        if size <= self._checkpoint_at or self._connection is None:
            return
        # If readers hold it back, try again only when as much has come in addition.
        self._checkpoint_at = size + WAL_LIMIT
        try:
            with self._lock:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            self._drop_if_broken(error)
        except StoreError:
            return

    def _undo(
        self, connection: sqlite3.Connection, error: BaseException, *, committing: bool = False
    ) -> None:
        """Roll back; raise what a complaint of the database means."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()
        if not isinstance(error, Complaint):
            return
        fault = explain(error, committing=committing)
        self._drop_if_broken(error)
        if isinstance(fault, OutcomeUnknown):
            self.close()
        raise fault from error

    def _drop_if_broken(self, error: BaseException) -> None:
        if primary_code(error) in BROKEN:
            self.close()
