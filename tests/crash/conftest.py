"""Real processes on one database, and the ledger that they write."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.crash import held, ledger
from tests.crash.checker import check
from tests.crash.checker.history import History, Violation
from tests.crash.databases import Databases, PostgresqlTables, SqliteFiles, databases
from tests.crash.ledger import Line
from tests.crash.snapshot import Snapshot
from tests.services import Database
from unbroken import Unbroken

STORES = ["sqlite", "postgresql"]
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0
LEASE = 0.6


class Processes:
    """Starts and torments processes that serve flows from one database."""

    def __init__(self, folder: Path, stored: Databases) -> None:
        self.folder = folder
        self.lease = LEASE
        self.url = stored.url(folder)
        self._databases = stored
        self.ledger = folder / "ledger"
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        """Start a process and wait until it is registered."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.serving", self.url, str(self.lease)],
            cwd=ROOT,
            env={**os.environ, ledger.PATH: str(self.ledger)},
            stdout=subprocess.PIPE,
        )
        self._started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    def client(self) -> tuple[Unbroken, dict[str, Any]]:
        """Make an app that runs nothing, and the handles of all flows."""
        lease = timedelta(seconds=self.lease)
        app = Unbroken(self.url, execute=False, lease=lease)
        return app, {one.definition.name: app.register(one) for one in held.FLOWS}

    def freeze(self, process: subprocess.Popen[bytes]) -> None:
        """Stop a process where it stands; on a file not within a transaction that holds up all."""
        self._stop(process)
        while isinstance(self._databases, SqliteFiles) and not self._is_file_free():
            os.kill(process.pid, signal.SIGCONT)
            self._stop(process)
        ledger.write("stopped", value=process.pid)

    @staticmethod
    def _stop(process: subprocess.Popen[bytes]) -> None:
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)  # until then it may still begin something

    def _is_file_free(self) -> bool:
        with Path(f"{SqliteFiles.file(self.folder)}-lock").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def thaw(self, process: subprocess.Popen[bytes]) -> None:
        """Let it go on."""
        ledger.write("continued", value=process.pid)
        os.kill(process.pid, signal.SIGCONT)

    def go(self) -> None:
        """Let the flows that stand still go on."""
        (self.folder / held.GO).touch()

    def lines(self, kind: str, **wanted: Any) -> list[Line]:
        """Give the ledger's lines of a kind."""
        return [
            line
            for line in ledger.read(self.ledger)
            if line.kind == kind and all(getattr(line, k) == v for k, v in wanted.items())
        ]

    def until(self, has_happened: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait until something has happened in another process."""
        deadline = time.monotonic() + seconds
        while not has_happened():
            assert time.monotonic() < deadline, ledger.read(self.ledger)[-20:]
            time.sleep(0.005)

    def violations(self) -> list[Violation]:
        """Check the whole history."""
        return check(History(ledger.read(self.ledger), self.snapshot()))

    def snapshot(self) -> Snapshot:
        """Read all that is stored."""
        return self._databases.snapshot(self.folder)

    def end(self) -> None:
        """Kill what is left."""
        for process in self._started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    """Give `sqlite`, or the URL of a PostgreSQL database."""
    if request.param == "sqlite":
        return "sqlite"
    database: Database = request.getfixturevalue("postgresql")
    return database.url


@pytest.fixture
def stored(store: str) -> Iterator[Databases]:
    known = databases(store)
    yield known
    if isinstance(known, PostgresqlTables):
        known.close()


@pytest.fixture
def processes(
    tmp_path: Path, stored: Databases, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Processes]:
    started = Processes(tmp_path, stored)
    monkeypatch.setenv(ledger.PATH, str(started.ledger))
    yield started
    started.end()
