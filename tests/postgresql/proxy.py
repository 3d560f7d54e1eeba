"""A network between a client and PostgreSQL that can be cut, slowed down and made silent.

python -m tests.postgresql.proxy HOST:PORT [MILLISECONDS ADDED TO A ROUND TRIP]
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

from tests.postgresql.faults import Chooser, Fault, Strike
from tests.postgresql.link import Link
from tests.services import with_address

BACKLOG = 256
PATIENCE = 20.0


class Proxy:
    """Listens on a port of its own and knows every connection through it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = parts.hostname or "127.0.0.1", parts.port or 5432
        self._changed = threading.Condition()
        self._links: list[Link] = []
        self._faults: list[Fault] = []
        self._held: list[Callable[[], None]] = []
        self._is_open = threading.Event()
        self._is_open.set()
        self._listener: socket.socket | None = None
        self._port = 0
        self.choose: Chooser = lambda _: None
        self.delay = 0.0
        self.bytes_per_second: float | None = None
        self.connections = 0
        self.cancels = 0
        self.requests = 0
        self.statements: Counter[str] = Counter()
        self.strikes: list[Strike] = []
        self.url = url
        self.accept()
        self.url = with_address(url, f"127.0.0.1:{self._port}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # what a test does to the network

    def strike(self, fault: Fault) -> None:
        """Let a fault happen to the requests that it names; those named first come first."""
        with self._changed:
            self._faults.append(fault)

    def release(self) -> None:
        """Let go on what was held or is late."""
        with self._changed:
            held, self._held = self._held, []
        for go_on in held:
            go_on()

    def silence(self) -> None:
        """Let nothing through any more in either direction; connections are still accepted."""
        self._is_open.clear()

    def end_silence(self) -> None:
        """Let all go on that came meanwhile."""
        self._is_open.set()

    def cut(self) -> int:
        """End all connections that there are; give how many."""
        with self._changed:
            links, self._links = [link for link in self._links if link.is_open()], []
        for link in links:
            link.cut()
        return len(links)

    def refuse(self) -> None:
        """Accept no connections any more."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def accept(self) -> None:
        """Accept connections (again), at the same port each time."""
        listener = socket.create_server(("127.0.0.1", self._port), backlog=BACKLOG)
        self._port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept_from, args=(listener,), daemon=True).start()

    def wait_for(self, has_happened: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait until something is true that requests and strikes change."""
        with self._changed:
            assert self._changed.wait_for(has_happened, seconds), self.strikes[-10:]

    def close(self) -> None:
        """End everything; what is late or held never comes."""
        self.refuse()
        self.end_silence()
        links = list(self._links)
        self.cut()
        for link in links:
            link.join()

    # what the connections ask

    def travel(self, size: int) -> None:
        self._is_open.wait()
        seconds = self.delay
        if self.bytes_per_second is not None:
            seconds += size / self.bytes_per_second
        if seconds > 0:
            time.sleep(seconds)

    def fault_for(self, text: str) -> Fault | None:
        with self._changed:
            self.requests += 1
            self.statements[text] += 1
            self._changed.notify_all()
            for fault in self._faults:
                if fault.strikes(text):
                    return fault
        return self.choose(text)

    def struck(self, strike: Strike) -> None:
        with self._changed:
            if all(one is not strike for one in self.strikes):
                self.strikes.append(strike)
            self._changed.notify_all()

    def hold(self, go_on: Callable[[], None]) -> None:
        with self._changed:
            self._held.append(go_on)

    def cancelled(self) -> None:
        with self._changed:
            self.cancels += 1
            self._changed.notify_all()

    def _accept_from(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                self._join(client)

    def _join(self, client: socket.socket) -> None:
        """Connect a client to the server; one that is not there ends the client's connection."""
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            server = socket.create_connection(self._server)
        except OSError:
            client.close()
            return
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(self, client, server)
        with self._changed:
            self.connections += 1
            self._links = [one for one in self._links if one.is_open()]
            self._links.append(link)
            link.start()


if __name__ == "__main__":
    address, *more = sys.argv[1:]
    proxy = Proxy(f"postgresql://{address}")
    proxy.delay = float(more[0]) / 2000 if more else 0.0
    print(proxy.url, flush=True)
    threading.Event().wait()
