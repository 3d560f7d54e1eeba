"""The raw limit: rows that Unbroken wrote, written again by one plain connection.

Same bytes, same tables and keys, same pragmas, as many rows to a transaction. Secondary indexes are
left out, and so is all that makes a write safe: fence, ownership, replay.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from unbroken.stores.sql import read_catalogue
from unbroken.stores.sqlite.connection import WRITER

T = TypeVar("T")
Row = tuple[Any, ...]

# Unbroken checkpoints by itself, at the size at which SQLite does by default.
PRAGMAS = tuple(
    "PRAGMA wal_autocheckpoint = 1000" if "wal_autocheckpoint" in pragma else pragma
    for pragma in WRITER
)
STATEMENTS = read_catalogue(Path(__file__).parent / "sql")
TABLES = ("flows", "effects", "messages")


class RawDatabase:
    """A database with the tables of another one, and a connection that writes into it."""

    def __init__(self, model: Path) -> None:
        self._model = sqlite3.connect(model)
        self._connection = sqlite3.connect(model.with_name("raw.db"), isolation_level=None)
        for pragma in PRAGMAS:
            self._connection.execute(pragma)
        for table in TABLES:
            self._connection.execute(self._definition(table))

    def _definition(self, table: str) -> str:
        found = self._model.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,))
        return found.fetchone()[0]

    def rows(self, query: str) -> list[Row]:
        """Read rows that Unbroken wrote."""
        return self._model.execute(query).fetchall()

    def write(self, *parts: tuple[str, Iterable[Row]]) -> None:
        """Run statements, by name and each for many rows, in one transaction."""
        execute = self._connection.executemany
        self._connection.execute("BEGIN IMMEDIATE")
        for name, rows in parts:
            execute(STATEMENTS[name], rows)
        self._connection.execute("COMMIT")

    def read(self, name: str, values: Iterable[Row]) -> None:
        """Run a query, by name, for each of the values."""
        for value in values:
            self._connection.execute(STATEMENTS[name], value).fetchall()

    def close(self) -> None:
        """Close both connections."""
        self._model.close()
        self._connection.close()


def pages(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Cut rows into transactions."""
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]
