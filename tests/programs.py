"""Runs a program as a real process: wait for what it prints, kill it, start it again."""

import os
import queue
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
PATIENCE = 40.0


class Program:
    """One process and the lines it has printed so far."""

    def __init__(self, script: Path, *arguments: str, folder: Path, seconds: float = 0.0) -> None:
        self.lines: list[str] = []
        self._arriving: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, "-u", str(script), *arguments],
            cwd=folder,
            env={**os.environ, "EXAMPLE_SECONDS": str(seconds), "PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._arriving.put(line.rstrip("\n"))
        self._arriving.put(None)

    def next_line(self, deadline: float) -> str | None:
        """Give the next line, or None at the end of the output."""
        try:
            line = self._arriving.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"nothing more came in time, after: {self.lines}") from None
        if line is not None:
            self.lines.append(line)
        return line

    def wait_for(self, text: str) -> str:
        """Read on until a line contains the text; give that line."""
        deadline = time.monotonic() + PATIENCE
        while (line := self.next_line(deadline)) is not None:
            if text in line:
                return line
        raise AssertionError(f"{text!r} never came; the output was: {self.lines}")

    def wait_for_all(self, *texts: str) -> None:
        """Read on until each of the texts has come, in whatever order."""
        for text in texts:
            if not any(text in line for line in self.lines):
                self.wait_for(text)

    def wait_until(self, enough: Callable[[list[str]], bool]) -> None:
        """Read on until the lines so far are enough."""
        deadline = time.monotonic() + PATIENCE
        while not enough(self.lines):
            if self.next_line(deadline) is None:
                raise AssertionError(f"it ended too early; the output was: {self.lines}")

    def kill(self) -> None:
        """End the process with SIGKILL, as `kill -9` does."""
        self._process.kill()
        self._process.wait()

    def finish(self) -> list[str]:
        """Wait for the end of the program and give all its lines; it must end well."""
        deadline = time.monotonic() + PATIENCE
        while self.next_line(deadline) is not None:
            pass
        assert self._process.wait(PATIENCE) == 0, self.lines
        return self.lines

    def close(self) -> None:
        """Leave no process behind, whatever the program started itself."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Launcher:
    """Starts programs in one folder, in which they keep what they keep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[Program] = []

    def __call__(self, script: Path | str, *arguments: str, seconds: float = 0.0) -> Program:
        """Start an example by its name, or any script by its path."""
        path = EXAMPLES / f"{script}.py" if isinstance(script, str) else script
        program = Program(path, *arguments, folder=self.folder, seconds=seconds)
        self._started.append(program)
        return program

    def wait_until_recorded(self, database: str, key: str) -> None:
        """Look until an effect is in the database: a program may have nothing to say of it."""
        deadline = time.monotonic() + PATIENCE
        with closing(sqlite3.connect(f"file:{self.folder / database}?mode=ro", uri=True)) as rows:
            while not rows.execute("SELECT 1 FROM effects WHERE key = ?", (key,)).fetchall():
                assert time.monotonic() < deadline, f"{key!r} was not recorded in time"
                threading.Event().wait(0.01)

    def lines_of(self, file: str) -> list[str]:
        """Read what the outside world was asked for."""
        return (self.folder / file).read_text(encoding="utf-8").splitlines()

    def close(self) -> None:
        """Leave no process behind."""
        for program in self._started:
            program.close()


@contextmanager
def launcher(folder: Path) -> Iterator[Launcher]:
    """Give a launcher whose processes are gone afterwards."""
    launcher = Launcher(folder)
    try:
        yield launcher
    finally:
        launcher.close()
