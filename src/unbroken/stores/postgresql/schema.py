"""Brings the schema up to date, once, however many processes open the database together."""

from __future__ import annotations

from unbroken.model.errors import ConfigurationError
from unbroken.stores.postgresql.catalogue import migrations
from unbroken.stores.postgresql.transaction import PostgresTransaction
from unbroken.stores.sql import pending, tables_made_by

OLDEST = 130000


def check_version(number: int) -> None:
    """Raise ConfigurationError if the server is too old."""
    if number < OLDEST:
        raise ConfigurationError(
            f"the server is PostgreSQL {number // 10000}, Unbroken needs {OLDEST // 10000} or newer"
        )


async def schema_version(tx: PostgresTransaction) -> int | None:
    """Read the version of the schema; None if there is none."""
    row = await tx.first("has_schema")
    if row is None or not row[0]:
        return None
    row = await tx.first("schema_version")
    return (row[0] if row else None) or 0


async def is_up_to_date(tx: PostgresTransaction, prefix: str) -> bool:
    """Whether the schema lacks nothing; SchemaTooNew if it is newer than this code."""
    version = await schema_version(tx)
    return version is not None and not pending(migrations(prefix), version)


async def migrate(tx: PostgresTransaction, prefix: str) -> None:
    """Apply what the schema lacks, under a lock; or SchemaTooNew.

    The lock is a row that every process makes if it is missing and then locks: it needs no more
    than the rights that the tables need.
    """
    if await schema_version(tx) is None:
        await tx.define(tx.text("make_schema_version"))
    await tx.change("begin_schema", now=tx.now)
    await tx.first("lock_schema")
    row = await tx.first("schema_version")
    missing = pending(migrations(prefix), (row[0] if row else None) or 0)
    if strangers := await tx.all("tables_of_others", names=tables_made_by(missing)):
        names = ", ".join(name for (name,) in strangers)
        raise ConfigurationError(
            f"the database has tables with names that Unbroken uses, and no schema version of it "
            f"({names}): choose another prefix"
        )
    for migration in missing:
        for sql in migration.statements:
            await tx.define(sql)
        await tx.change("migrated", number=migration.number, name=migration.name, now=tx.now)
