"""Real processes on one SQLite file, and the ledger that they write."""

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

from tests.crash import held, ledger, snapshot
from tests.crash.checker import check
from tests.crash.checker.history import History, Violation
from tests.crash.ledger import Line
from unbroken import Unbroken

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0
LEASE = 0.6


class Processes:
    """Starts and torments processes that serve flows from one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lease = LEASE
        self.database = folder / "flows.db"
        self.url = f"sqlite:///{self.database}"
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
        """Stop a process where it stands, but not within a transaction, where it holds up all."""
        with Path(f"{self.database}-lock").open("rb") as file:
            while True:
                os.kill(process.pid, signal.SIGSTOP)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.kill(process.pid, signal.SIGCONT)
                else:
                    break
        ledger.write("stopped", value=process.pid)

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
        return check(History(ledger.read(self.ledger), snapshot.take(self.database)))

    def end(self) -> None:
        """Kill what is left."""
        for process in self._started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    started = Processes(tmp_path)
    monkeypatch.setenv(ledger.PATH, str(started.ledger))
    yield started
    started.end()
