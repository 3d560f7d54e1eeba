"""A TCP proxy that makes the way to PostgreSQL longer, and counts what is sent on it.

The whole delay is on the way to the server: one round trip is longer by it, and the order of the
bytes stays. An event loop wakes on whole milliseconds, so that shorter delays cannot be had.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

CHUNK = 65_536
HEAD = 5  # of a message: its kind, and its length with the four bytes of the length
# Messages of the protocol that make the server run a statement: Query, Execute, FunctionCall.
STATEMENTS = b"QEF"


class StatementCounter:
    """Reads what a client sends, and counts the statements."""

    def __init__(self) -> None:
        self.statements = 0
        self._unread = bytearray()
        self._skipped = 0
        self._is_starting = True

    def feed(self, sent: bytes) -> None:
        """Take what was sent, wherever it was cut."""
        self._unread += sent
        while self._step():
            pass

    def _step(self) -> bool:
        if self._skipped:
            cut = min(self._skipped, len(self._unread))
            del self._unread[:cut]
            self._skipped -= cut
            return not self._skipped
        head = HEAD - 1 if self._is_starting else HEAD
        if len(self._unread) < head:
            return False
        length = int.from_bytes(self._unread[head - 4 : head], "big")
        if self._is_starting:
            # A wish for encryption (8 bytes) is followed by another first message.
            self._is_starting = length == 8
        else:
            self.statements += self._unread[0] in STATEMENTS
        del self._unread[:head]
        self._skipped = length - 4
        return True


@dataclass
class Proxy:
    """A port of this machine that leads to the server."""

    host: str
    port: int
    delay: float = 0.0
    counters: list[StatementCounter] = field(default_factory=list[StatementCounter])
    listens_at: int = 0

    @property
    def statements(self) -> int:
        """How many statements all clients have sent."""
        return sum(counter.statements for counter in self.counters)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        counter = StatementCounter()
        self.counters.append(counter)
        try:
            answers, onward = await asyncio.open_connection(self.host, self.port)
        except OSError:
            writer.close()
            return
        ways = [
            asyncio.create_task(self._carry_late(reader, onward, counter)),
            asyncio.create_task(_carry(answers, writer)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (onward, writer):
            end.close()

    async def _carry_late(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counter: StatementCounter
    ) -> None:
        loop = asyncio.get_running_loop()
        late: deque[bytes] = deque()
        with suppress(ConnectionError):
            while sent := await reader.read(CHUNK):
                counter.feed(sent)
                if self.delay:
                    late.append(sent)
                    loop.call_later(self.delay, lambda: writer.write(late.popleft()))
                else:
                    writer.write(sent)
                    await writer.drain()
            await asyncio.sleep(self.delay)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while answered := await reader.read(CHUNK):
            writer.write(answered)
            await writer.drain()


@asynccontextmanager
async def proxy_to(host: str, port: int, delay: float = 0.0) -> AsyncIterator[Proxy]:
    """Open a port that leads to the server, so many seconds further away."""
    proxy = Proxy(host, port, delay)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.listens_at = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
