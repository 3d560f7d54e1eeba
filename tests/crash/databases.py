"""Where the flows of a crash test are stored: one database for each folder, of either kind."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol

from tests.crash import snapshot
from tests.crash.snapshot import Snapshot
from tests.services import Tables, with_options


class Databases(Protocol):
    """Knows a database for each folder that it is asked about."""

    def url(self, folder: Path) -> str:
        """Give what an app is opened with."""
        ...

    def snapshot(self, folder: Path) -> Snapshot:
        """Read all that is stored."""
        ...

    def copy(self, source: Path, target: Path) -> None:
        """Give a folder that has no database yet a copy of another one's."""
        ...

    def forget(self, folder: Path) -> None:
        """Let the database of a folder be used for another one: nobody will ask for it again."""
        ...


class SqliteFiles:
    """A file in each folder."""

    @staticmethod
    def file(folder: Path) -> Path:
        return folder / "flows.db"

    def url(self, folder: Path) -> str:
        return f"sqlite:///{self.file(folder)}"

    def snapshot(self, folder: Path) -> Snapshot:
        return snapshot.take(self.file(folder))

    def copy(self, source: Path, target: Path) -> None:
        with (
            closing(sqlite3.connect(self.file(source))) as copied,
            closing(sqlite3.connect(self.file(target))) as copy,
        ):
            copied.backup(copy)

    def forget(self, folder: Path) -> None: ...


class PostgresqlTables:
    """Tables of their own for each folder, in one database; those of forgotten folders serve again.

    To make new ones takes far longer than to empty some.
    """

    def __init__(self, url: str) -> None:
        self._tables = Tables(url)
        self._numbers: dict[Path, int] = {}
        self._free: list[int] = []
        self._made = 0

    def prefix(self, folder: Path) -> str:
        if folder not in self._numbers:
            self._numbers[folder] = self._free.pop() if self._free else self._make()
        return _prefix(self._numbers[folder])

    def _make(self) -> int:
        self._made += 1
        self._tables.drop(_prefix(self._made))
        return self._made

    def url(self, folder: Path) -> str:
        return with_options(self._tables.url, prefix=self.prefix(folder))

    def snapshot(self, folder: Path) -> Snapshot:
        return snapshot.take_tables(self._tables.url, self.prefix(folder))

    def copy(self, source: Path, target: Path) -> None:
        self._tables.copy(self.prefix(source), self.prefix(target))

    def close(self) -> None:
        self._tables.close()

    def forget(self, folder: Path) -> None:
        number = self._numbers.pop(folder)
        self._tables.clear(_prefix(number))
        self._free.append(number)


def _prefix(number: int) -> str:
    return f"crash_{number}_"


def databases(url: str) -> Databases:
    """Give the databases of a store's URL; those of SQLite need no more than the scheme."""
    return SqliteFiles() if url.startswith("sqlite") else PostgresqlTables(url)
