"""What a person should know of a SQLite database, read without changing anything."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from unbroken.stores.sql import pending
from unbroken.stores.sqlite.connection import SQL
from unbroken.stores.sqlite.faults import Complaint, explain
from unbroken.stores.sqlite.schema import MIGRATIONS, check_version, has_wal_reset_bug
from unbroken.stores.store import Finding

MEGABYTE = 1_000_000


def examine(path: str) -> tuple[Finding, ...]:
    """Look at a file; raises what opening would raise."""
    check_version()
    file = Path(path)
    found = [Finding("place", path), Finding("library", f"SQLite {sqlite3.sqlite_version}", _bug())]
    if not file.exists():
        return (*found, Finding("schema", "none: the file is made at the first start"))
    writable = os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)
    warning = None if writable else "the file or its folder is read-only: no flow can run"
    found.append(Finding("writing", "allowed" if writable else "refused", warning))
    found.append(Finding("size", f"{file.stat().st_size / MEGABYTE:,.1f} MB"))
    try:
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as database:
            return (*found, *_look_inside(database))
    except Complaint as error:
        raise explain(error) from error


def _bug() -> str | None:
    if not has_wal_reset_bug(sqlite3.sqlite_version_info):
        return None
    return "has the WAL-reset bug; processes of Unbroken are safe from it, other writers are not"


def _look_inside(database: sqlite3.Connection) -> list[Finding]:
    (mode,) = database.execute("PRAGMA journal_mode").fetchone()
    found = [Finding("durability", f"power loss (journal {mode}, synchronous=FULL while we write)")]
    if not database.execute(SQL["has_schema"]).fetchone():
        return [*found, Finding("schema", "none: made at the first start")]
    (version,) = database.execute(SQL["schema_version"]).fetchone()
    missing = ", ".join(one.name for one in pending(MIGRATIONS, version or 0))
    state = f"lacks {missing}: applied at the next start" if missing else "up to date"
    return [*found, Finding("schema", f"version {version}, {state}")]
