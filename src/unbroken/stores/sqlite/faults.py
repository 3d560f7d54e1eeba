"""What SQLite and its driver complain of, as errors of ours.

The database says *what* went wrong, the moment says what it means: before COMMIT nothing was
applied; an I/O error or a full disk *at* COMMIT leaves the outcome unknown.
"""

from __future__ import annotations

import sqlite3

from unbroken.model.errors import (
    BatchRefused,
    OutcomeUnknown,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from unbroken.stores.transactions.transaction import DamagedRow

BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
READ_ONLY = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})
CONTENTS = frozenset(
    {
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_CONSTRAINT,
    }
)


# What the driver and the database raise; anything else is a mistake of ours and stays as it is.
Complaint = (sqlite3.Error, sqlite3.Warning, UnicodeEncodeError, OverflowError, DamagedRow)


def primary_code(error: BaseException) -> int | None:
    """Give SQLite's primary result code; None if the driver itself complains."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def is_undecodable(error: BaseException) -> bool:
    """Whether a stored text is not UTF-8. Such an error quotes the text: never show it."""
    return isinstance(error, sqlite3.OperationalError) and primary_code(error) is None


def explain(error: BaseException, *, committing: bool = False) -> StoreError:
    """Turn a complaint into the error that says what the caller may do next."""
    if isinstance(error, DamagedRow):
        return StoreCorrupt(f"a stored row makes no sense ({error}): restore it from a backup")
    code = primary_code(error)
    if code is None:
        return BatchRefused(f"SQLite cannot hold a value: {type(error).__name__}: {error}")
    name: str = getattr(error, "sqlite_errorname", str(code))
    if code in DAMAGED:
        return StoreCorrupt(f"{name}: {error}: the file is damaged or is no database")
    if code in BUSY:
        return StoreUnavailable(f"{name}: {error}: another connection holds the write lock")
    if committing:
        return OutcomeUnknown(f"{name}: {error}: raised by COMMIT, which may have been applied")
    if code in CONTENTS:
        return BatchRefused(f"{name}: {error}")
    return StoreUnavailable(f"{name}: {error}{_advice(code)}")


def _advice(code: int) -> str:
    if code in READ_ONLY:
        return ": the database is read-only for this process"
    if code == sqlite3.SQLITE_CANTOPEN:
        return ": the file cannot be opened; its folder is missing or read-only"
    if code == sqlite3.SQLITE_FULL:
        return ": no space left; nothing was written"
    if code == sqlite3.SQLITE_IOERR:
        return ": nothing was written"
    return ""
