"""Where the PostgreSQL server is that tests use, and what they do when it is not there.

One database a process, and one set of tables in it: between two tests their rows are deleted, which
costs 2 ms where TRUNCATE costs 70, new tables cost 80 and a new database 600.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

WHERE = "UNBROKEN_POSTGRES_URL"
DEFAULT = "postgresql://postgres@127.0.0.1:5432/postgres"
PREFIX = "unbroken_"
# Their rows belong to the schema.
KEPT = ("schema_version", "turnstiles")
NAMED = "unbroken_test_"
# Longer than any run: a database of this age that nobody is connected to was left by a killed one.
ABANDONED_AFTER = 6 * 3600
ANSWERS_WITHIN = 1


def is_missing(what: str, remedy: str) -> NoReturn:
    """Skip the test that needs what is not here; continuous integration must have everything."""
    text = f"{what} is not here: {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def server_url() -> str:
    """Give the URL of the server, with a user who may create databases."""
    return os.environ.get(WHERE, DEFAULT)


def with_database(url: str, database: str) -> str:
    """Give the URL of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def with_address(url: str, address: str) -> str:
    """Give the URL of the same database at another `host:port`."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}{address}"))


def with_options(url: str, **options: object) -> str:
    """Give the URL with more options behind its question mark."""
    more = "&".join(f"{name}={value}" for name, value in options.items())
    return f"{url}{'&' if '?' in url else '?'}{more}"


class Tables:
    """The tables of a PostgreSQL database, through a driver that the store does not use."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("SET lock_timeout = '2s'")

    def run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement outside of the store, with `%s` for values; give its rows."""
        cursor = self._connection.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def tables(self, prefix: str = PREFIX) -> list[str]:
        """Give the names of the tables under a prefix."""
        return [name for (name,) in self.run(_NAMES_OF, "r", prefix)]

    def clear(self, prefix: str = PREFIX) -> None:
        """Empty the tables under a prefix, whoever still looks at them; their schema stays."""
        emptied = [name for name in self.tables(prefix) if not name.endswith(KEPT)]
        if not emptied:
            return
        deletes = [f'DELETE FROM "{name}"' for name in emptied]
        counters = [name for (name,) in self.run(_NAMES_OF, "S", prefix)]
        restarts = [f"SELECT setval('\"{name}\"', 1, false)" for name in counters]
        self._insist("; ".join(deletes + restarts), prefix)

    def drop(self, prefix: str) -> None:
        """Drop the tables under a prefix."""
        names = self.tables(prefix)
        if names:
            self._insist("DROP TABLE " + ", ".join(f'"{name}"' for name in names), prefix)

    def copy(self, prefix: str, target: str) -> None:
        """Fill the tables of another prefix, which are absent or empty, with the rows of this."""
        for name in self.tables(prefix):
            copied = f'"{target}{name.removeprefix(prefix)}"'
            self.run(f'CREATE TABLE IF NOT EXISTS {copied} (LIKE "{name}" INCLUDING ALL)')
            self.run(
                f'INSERT INTO {copied} OVERRIDING SYSTEM VALUE SELECT * FROM "{name}"'
                " ON CONFLICT DO NOTHING"
            )
        for (name,) in self.run(_NAMES_OF, "S", prefix):
            copied = f'"{target}{name.removeprefix(prefix)}"'
            self.run(f"SELECT setval('{copied}', last_value, is_called) FROM \"{name}\"")

    def _insist(self, statement: str, prefix: str) -> None:
        """Run a statement, whoever holds locks on these tables; what others do is let alone."""
        try:
            self.run(statement)
        except psycopg.errors.LockNotAvailable:
            self.run(_END_HOLDERS, prefix)
            self.run(statement)

    def close(self) -> None:
        self._connection.close()


class Database(Tables):
    """A database that was made for this process.

    The connection to it stays open, so that no other run takes the database for an abandoned one.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self.name = f"{NAMED}{int(time.time())}_{os.getpid()}"
        with psycopg.connect(server, autocommit=True, connect_timeout=ANSWERS_WITHIN) as admin:
            for name in _abandoned(admin):
                admin.execute(SQL("DROP DATABASE IF EXISTS {}").format(Identifier(name)))
            admin.execute(SQL("CREATE DATABASE {}").format(Identifier(self.name)))
        super().__init__(with_database(server, self.name))

    def close(self) -> None:
        """Drop the database, whoever is connected to it."""
        super().close()
        with psycopg.connect(self._server, autocommit=True) as admin:
            admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(self.name)))


_END_HOLDERS = """
    SELECT pg_terminate_backend(pid) FROM (
        SELECT DISTINCT l.pid FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
         WHERE starts_with(c.relname, %s) AND l.pid <> pg_backend_pid()) AS holders"""

_NAMES_OF = """
    SELECT relname FROM pg_class
     WHERE relkind = %s AND starts_with(relname, %s) AND relnamespace = 'public'::regnamespace
     ORDER BY relname"""


def _abandoned(admin: psycopg.Connection[Any]) -> list[str]:
    found = admin.execute(
        "SELECT datname FROM pg_database d WHERE starts_with(datname, %s)"
        " AND split_part(substr(datname, length(%s) + 1), '_', 1) ~ '^[0-9]+$'"
        " AND split_part(substr(datname, length(%s) + 1), '_', 1)::bigint < %s"
        " AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = d.datname)",
        (NAMED, NAMED, NAMED, int(time.time()) - ABANDONED_AFTER),
    )
    return [name for (name,) in found.fetchall()]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Database]:
    """Make a database of this process's own; without a server, tests are skipped in one line."""
    try:
        database = Database(server_url())
    except psycopg.OperationalError as error:
        reason = str(error).partition("\n")[0]
        is_missing("PostgreSQL", f"start one, or name it in {WHERE} ({reason})")
    yield database
    database.close()


@pytest.fixture
def postgresql_url(postgresql: Database) -> str:
    """Give the URL of empty tables."""
    postgresql.clear()
    return postgresql.url


def url_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """Give the URL of an empty database of one kind."""
    match kind:
        case "sqlite-memory":
            return "sqlite://"
        case "sqlite-file":
            return f"sqlite:///{folder / 'test.db'}"
        case "postgresql":
            # What a power failure leaves is not the subject, and no test waits for a disk.
            return with_options(
                request.getfixturevalue("postgresql_url"),
                synchronous_commit="off",
                accept_loss="on",
            )
        case _:
            raise ValueError(kind)
