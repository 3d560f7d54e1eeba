"""PgBouncer in transaction mode, as it is installed: with no setting that spares its clients."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.postgresql.server import account, free_port, give_away, new_folder
from tests.services import is_missing, with_address

PATIENCE = 10.0
PAUSE = 0.01
# Debian puts it where only root looks.
PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
SETTINGS = """
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 500
admin_users = {user}
server_lifetime = 3600
"""


class Pooler:
    """A pooler before a server; its clients share few connections, one transaction at a time."""

    def __init__(self, url: str, folder: Path, connections: int) -> None:
        program = shutil.which("pgbouncer", path=PLACES)
        if program is None:
            is_missing("PgBouncer", "install the package pgbouncer")
        parts = urlsplit(url)
        port, users, settings = free_port(), folder / "users", folder / "settings"
        users.write_text(f'"{parts.username}" "{parts.password or ""}"\n')
        settings.write_text(
            SETTINGS.format(
                host=parts.hostname,
                port=parts.port or 5432,
                own_port=port,
                users=users,
                connections=connections,
                user=parts.username,
            )
        )
        for one in (users, settings):
            give_away(one)
        self.log = folder / "log"
        self.url = with_address(url, f"127.0.0.1:{port}")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, settings], cwd=folder, stdout=log, stderr=log, **account()
            )
        self._wait_for(port)

    def _wait_for(self, port: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except OSError:
                time.sleep(PAUSE)
            else:
                return

    def kill(self) -> None:
        """End it at once, with all its connections."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@contextmanager
def pooler_before(url: str, connections: int = 4) -> Iterator[Pooler]:
    """Give a pooler with so many connections to the server of a URL."""
    with new_folder() as folder:
        pooler = Pooler(url, folder, connections)
        try:
            yield pooler
        finally:
            pooler.kill()
