"""The stores under test, each with a clock that stands still and a door for planting trouble."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.services import url_of
from tests.stores.clock import FakeClock
from tests.stores.driver import Driver
from tests.stores.postgresql.door import PostgresDoor
from tests.stores.sqlite.door import SqliteDoor
from unbroken.model.records import FlowRef
from unbroken.stores import open_store
from unbroken.stores.sqlite.store import SqliteStore
from unbroken.stores.store import Store

STORES = ["sqlite-memory", "sqlite-file", "postgresql"]
SHARED = ["sqlite-file", "postgresql"]  # those that two processes can open
# PostgreSQL takes no text that is not UTF-8: there is nothing to damage.
HOLDS_ANY_BYTES = pytest.mark.parametrize("url", ["sqlite-memory", "sqlite-file"], indirect=True)


class Door(Protocol):
    """Does what no call of the protocol does (yet), or what only a broken disk would do."""

    def ask_cancel(self, flow: FlowRef) -> None:
        """Ask a flow to cancel, as an operator's transaction would."""

    def delete_replica(self, replica: str) -> None: ...

    def damage_parents(self, flow: FlowRef) -> None: ...

    def damage_text(self, flow: FlowRef, column: str) -> None:
        """Write what is no text, in a store that HOLDS_ANY_BYTES."""

    def count(self, table: str, flow: FlowRef) -> int: ...

    def parents(self, flow: FlowRef) -> str: ...


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, request, tmp_path)


@pytest.fixture(params=SHARED)
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, request, tmp_path)


@pytest.fixture
async def store(url: str, clock: FakeClock) -> AsyncIterator[Store]:
    opened = open_store(url, clock=clock)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def two_stores(shared_url: str, clock: FakeClock) -> AsyncIterator[tuple[Store, Store]]:
    """Two stores on one database, as two processes would have."""
    opened = open_store(shared_url, clock=clock), open_store(shared_url, clock=clock)
    for one in opened:
        await one.open()
    yield opened
    for one in opened:
        await one.close()


@pytest.fixture
def door(store: Any, request: pytest.FixtureRequest) -> Door:
    if isinstance(store, SqliteStore):
        return SqliteDoor(store)
    return PostgresDoor(request.getfixturevalue("postgresql"))


@pytest.fixture
async def me(store: Store) -> Driver:
    await store.register("me")
    return Driver(store, "me")


@pytest.fixture
async def other(store: Store) -> Driver:
    """Another replica, through the same connection."""
    await store.register("other")
    return Driver(store, "other")


@pytest.fixture
def kill(store: Store, door: Door) -> Callable[[Driver], None]:
    return lambda driver: door.delete_replica(driver.replica)
