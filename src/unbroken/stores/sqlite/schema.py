"""Brings the schema up to date, once, however many processes open the file together."""

from __future__ import annotations

import re
import sqlite3
from importlib.resources import files

from unbroken.model.errors import ConfigurationError
from unbroken.stores.sql import pending, read_migrations, tables_made_by
from unbroken.stores.sqlite.connection import Transaction

OLDEST = (3, 35, 0)
STRICT_SINCE = (3, 37, 0)
MIGRATIONS = read_migrations(files("unbroken.stores.sqlite") / "migrations")


def check_version() -> None:
    """Raise ConfigurationError if Python's SQLite is too old."""
    if sqlite3.sqlite_version_info < OLDEST:
        raise ConfigurationError(
            f"SQLite {sqlite3.sqlite_version} is too old, Unbroken needs 3.35: use a newer Python"
        )


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether this version may lose pages if a commit restarts the WAL during a checkpoint."""
    repaired = (3, 44, 6) <= version < (3, 45) or (3, 50, 7) <= version < (3, 51)
    return (3, 7) <= version < (3, 51, 3) and not repaired


async def migrate(tx: Transaction) -> None:
    """Apply what the schema lacks, in the transaction that reads its version; or SchemaTooNew."""
    version = 0
    if await tx.first("has_schema"):
        row = await tx.first("schema_version")
        version = (row[0] if row else None) or 0
    missing = pending(MIGRATIONS, version)
    if strangers := await tx.all("tables_of_others", names=tx.array(tables_made_by(missing))):
        names = ", ".join(name for (name,) in strangers)
        raise ConfigurationError(
            f"the database has tables of somebody else with names that Unbroken uses ({names}): "
            "give Unbroken a file of its own"
        )
    for migration in missing:
        for statement in migration.statements:
            await tx.define(_for_this_version(statement))
        await tx.change("migrated", number=migration.number, name=migration.name, now=tx.now)
    await tx.change("try_writing")


def _for_this_version(statement: str) -> str:
    if sqlite3.sqlite_version_info >= STRICT_SINCE:
        return statement
    return re.sub(r",? STRICT$", "", statement)
