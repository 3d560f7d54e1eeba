"""The one database of a simulated world, and what it complains of when it is told to."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

BEGIN, COMMIT = "BEGIN IMMEDIATE", "COMMIT"


class Trouble:
    """One complaint: at a statement of the transaction by number, at its BEGIN or its COMMIT."""

    def __init__(self, code: int, at: int | str) -> None:
        self._code = code
        self._at = at
        self._seen = 0
        self.has_come = False

    def meet(self, sql: str) -> None:
        """Complain if it is time for it; once."""
        if self.has_come:
            return
        if sql == self._at or (isinstance(self._at, int) and self._seen == self._at):
            self.has_come = True
            raise self._complaint()

    def count(self, sql: str) -> None:
        """A statement of the transaction begins."""
        self._seen += 1
        self.meet(sql)

    def _complaint(self) -> sqlite3.Error:
        error = sqlite3.OperationalError("simulated")
        error.sqlite_errorcode = self._code
        error.sqlite_errorname = f"SIMULATED {self._code}"
        return error


class SharedConnection(sqlite3.Connection):
    """One database in memory for all stores of a run; nobody closes it but the run."""

    trouble: Trouble | None = None

    def close(self) -> None:
        """Stay open: another replica uses it."""

    def end(self) -> None:
        super().close()

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if self.trouble is not None:
            self.trouble.meet(sql)
        return super().execute(sql, parameters)

    def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
        if self.trouble is None:
            return super().cursor(factory)
        cursor = super().cursor(TroubledCursor)
        cursor.trouble = self.trouble
        return cursor

    def troubled(self, trouble: Trouble, work: Callable[[], Any]) -> Any:
        """Run something during which the database complains."""
        self.trouble = trouble
        try:
            return work()
        finally:
            self.trouble = None


class TroubledCursor(sqlite3.Cursor):
    """Counts statements for a trouble."""

    trouble: Trouble

    def execute(self, sql: str, parameters: Any = (), /) -> TroubledCursor:
        if sql not in {BEGIN, COMMIT, "ROLLBACK", "BEGIN"}:
            self.trouble.count(sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> TroubledCursor:
        self.trouble.count(sql)
        return super().executemany(sql, parameters)


def connect() -> SharedConnection:
    """Open a database in memory, empty."""
    return sqlite3.connect(
        ":memory:", isolation_level=None, check_same_thread=False, factory=SharedConnection
    )
