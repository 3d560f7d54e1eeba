"""Databases behind one protocol. A store never calls upward; SQL lives in `.sql` files only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unbroken.model.clock import Clock
from unbroken.model.errors import ConfigurationError
from unbroken.stores.store import Store

if TYPE_CHECKING:
    from unbroken.stores.postgresql.address import PostgreSQL

SUPPORTED = (
    "sqlite:// (in memory), sqlite:///relative.db, sqlite:////absolute/path.db, "
    "postgresql://user:password@host:5432/database"
)


def open_store(url: str | PostgreSQL, *, clock: Clock) -> Store:
    """Give the store that a URL names; nothing is opened before `Store.open`.

    Raises ConfigurationError, which repeats no more of the URL than its scheme.
    """
    if not isinstance(url, str):
        return _open_postgres(url, clock)
    scheme, mark, rest = url.partition("://")
    if not mark or not scheme.isidentifier():
        raise ConfigurationError(f"a store is named by a URL; supported: {SUPPORTED}")
    if scheme == "sqlite":
        from unbroken.stores.sqlite.store import SqliteStore

        return SqliteStore(_sqlite_path(rest), clock=clock)
    if scheme in {"postgresql", "postgres"}:
        from unbroken.stores.postgresql.address import read_url

        return _open_postgres(read_url(url), clock)
    raise ConfigurationError(f"no store for {scheme}:// URLs; supported: {SUPPORTED}")


def _open_postgres(address: PostgreSQL, clock: Clock) -> Store:
    try:
        from unbroken.stores.postgresql.store import PostgresStore
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise ConfigurationError(
            "PostgreSQL needs its driver: pip install 'unbroken[postgresql]'"
        ) from None
    return PostgresStore(address, clock=clock)


def _sqlite_path(rest: str) -> str | None:
    """Give the file's path, None for a database in memory."""
    from urllib.parse import unquote

    if not rest:
        return None
    host, _, path = rest.partition("/")
    if host:
        raise ConfigurationError(
            f"a sqlite URL has no host: write three slashes before a path; supported: {SUPPORTED}"
        )
    if "?" in path or "#" in path:
        raise ConfigurationError(
            "a sqlite URL takes no options; write ? and # of a file's name as %3F and %23"
        )
    path = unquote(path)
    if not path or path.startswith(":") or "\0" in path:
        raise ConfigurationError(
            f"a sqlite URL needs a file's path after its three slashes; supported: {SUPPORTED}"
        )
    return path
