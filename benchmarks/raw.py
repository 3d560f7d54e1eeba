"""The raw limit: rows that Unbroken wrote, written again by one plain connection.

Same bytes, same tables and keys, same pragmas, as many rows to a transaction. Secondary indexes are
left out, and so is all that makes a write safe: fence, ownership, replay.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from unbroken.stores.sql import read_catalogue
from unbroken.stores.sqlite.connection import WRITER

T = TypeVar("T")
Row = tuple[Any, ...]

SQL = Path(__file__).parent / "sql"
STATEMENTS = read_catalogue(SQL / "raw")
READING = read_catalogue(SQL / "reading")
TABLES = ("flows", "effects", "messages")
# Unbroken checkpoints by itself, at the size at which SQLite does by default.
PRAGMAS = tuple(
    "PRAGMA wal_autocheckpoint = 1000" if "wal_autocheckpoint" in pragma else pragma
    for pragma in WRITER
)


class RawDatabase:
    """An empty database with the tables of another one, and the one connection to it."""

    def __init__(self, model: Path) -> None:
        self._model = sqlite3.connect(model)
        self._connection = sqlite3.connect(model.with_name("raw.db"), isolation_level=None)
        for pragma in PRAGMAS:
            self._connection.execute(pragma)
        for table in TABLES:
            ((definition,),) = self.rows("definition_of", table=table)
            self._connection.execute(definition)

    def rows(self, name: str, **values: str) -> list[Row]:
        """Read, by the name of a query, rows that Unbroken wrote."""
        return self._model.execute(READING[name], values).fetchall()

    def write(
        self, *parts: tuple[str, Iterable[Row]], reads: Iterable[tuple[str, Row]] = ()
    ) -> None:
        """Run statements, by name and each for many rows, in one transaction; then queries."""
        self._connection.execute("BEGIN IMMEDIATE")
        for name, rows in parts:
            self._connection.executemany(STATEMENTS[name], rows)
        for name, values in reads:
            self._connection.execute(STATEMENTS[name], values).fetchall()
        self._connection.execute("COMMIT")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._model.close()
        self._connection.close()


def pages(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Cut rows into transactions."""
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]
