"""Stores on a file, opened in the ways that these tests need."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stores.clock import FakeClock
from unbroken.stores.sqlite.store import SqliteStore

Opening = Callable[..., Awaitable[SqliteStore]]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "test.db")


@pytest.fixture
async def open_file(path: str, clock: FakeClock) -> AsyncIterator[Opening]:
    """Open stores on the test's file; they are closed at the end."""
    stores: list[SqliteStore] = []

    async def opening(**options: Any) -> SqliteStore:
        options.setdefault("clock", clock)
        store = SqliteStore(options.pop("path", path), **options)
        stores.append(store)
        await store.open()
        return store

    yield opening
    for store in stores:
        await store.close()


def connecting(
    factory: type[sqlite3.Connection] = sqlite3.Connection, *, timeout: float = 0.05
) -> Callable[[str], sqlite3.Connection]:
    """Connect as the store does, with connections of another class."""
    return lambda path: sqlite3.connect(
        path, timeout=timeout, isolation_level=None, check_same_thread=False, factory=factory
    )
