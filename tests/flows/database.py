"""Reads and changes the rows behind an app, past its store: in SQLite and in PostgreSQL.

A statement is written once, as SQLite wants it: `?` for a value, and tables without a prefix.
"""

import re
import sqlite3
from contextlib import closing
from typing import Any

from tests.services import PREFIX, Tables
from unbroken import Unbroken
from unbroken.stores.postgresql.store import PostgresStore
from unbroken.stores.sqlite.store import SqliteStore

TABLE = re.compile(
    r"\b(FROM|JOIN|UPDATE|INTO) "
    r"(?=(correlations|effects|flows|messages|places|replicas|states)\b)"
)


def read(app: Unbroken, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Give the rows of a query."""
    store = app._store
    if isinstance(store, PostgresStore):
        return _ask_postgresql(store, statement, values)
    assert isinstance(store, SqliteStore)
    if store._in_memory:  # it has one connection and no other
        return store._writer.open().execute(statement, values).fetchall()
    with closing(sqlite3.connect(store._writer._path)) as connection:
        return connection.execute(statement, values).fetchall()


def change(app: Unbroken, statement: str, *values: object) -> int:
    """Change rows of a database that a second connection can open, and count them."""
    store = app._store
    if isinstance(store, PostgresStore):
        return len(_ask_postgresql(store, f"{statement} RETURNING 1", values))
    assert isinstance(store, SqliteStore)
    assert not store._in_memory
    path = store._writer._path
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement, values).rowcount


def forget_replicas(app: Unbroken) -> None:
    """Declare every process dead, as another one would."""
    store = app._store
    if isinstance(store, PostgresStore):
        fences = f"DELETE FROM {PREFIX}fences"
        _ask_postgresql(store, f"WITH gone AS ({fences}) DELETE FROM replicas", ())
    else:
        change(app, "DELETE FROM replicas")


def look_no_more() -> None:
    """Close the connections that looking took: one is kept, for looks are many."""
    while _looking:
        _looking.popitem()[1].close()


_looking: dict[str, Tables] = {}


def _ask_postgresql(
    store: PostgresStore, statement: str, values: tuple[object, ...]
) -> list[tuple[Any, ...]]:
    # What stands behind the question mark is for the store's driver.
    url = store._address.url.partition("?")[0]
    if url not in _looking:
        _looking[url] = Tables(url)
    text = TABLE.sub(rf"\1 {PREFIX}", statement)
    return _looking[url].run(text.replace("?", "%s") if values else text, *values)
