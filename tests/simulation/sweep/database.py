"""The one database of a run, in memory: empty, with all its tables, in a moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar, cast

from unbroken.model.clock import Clock, SystemClock
from unbroken.stores.sqlite.store import SqliteStore

T = TypeVar("T")
VERSIONS = "schema_version"


class SharedDatabase(sqlite3.Connection):
    """A connection that all processes of a run share, and all runs one after the other."""

    def close(self) -> None:
        """Stay open: others use it."""


def empty_store(clock: Clock) -> tuple[SharedDatabase, SqliteStore]:
    """Give the database without a row of a former run, and a store that uses it."""
    database = _database()
    if database.in_transaction:
        database.rollback()
    for name in _tables():
        database.execute(f"DELETE FROM {name}")
    return database, _opened(database, clock)


@cache
def _database() -> SharedDatabase:
    """Make the one connection: its tables and prepared statements serve every run."""
    database = SharedDatabase(":memory:", isolation_level=None, cached_statements=512)
    _opened(database, SystemClock())
    return database


@cache
def _tables() -> tuple[str, ...]:
    named = _database().execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return tuple(name for (name,) in named if name != VERSIONS)


def _opened(database: SharedDatabase, clock: Clock) -> SqliteStore:
    store = SqliteStore(None, clock=clock, connect=lambda _: database)
    drive(store.open())
    return store


def drive(running: Coroutine[Any, Any, T]) -> T:
    """Run an operation of a store in memory: it never waits."""
    try:
        running.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    running.close()
    msg = "an operation of a store in memory waited"
    raise AssertionError(msg)
