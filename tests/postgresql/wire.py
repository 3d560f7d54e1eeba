"""The frames of PostgreSQL's protocol: where a message ends, and what a request asks for.

A request is all that a client sends up to a Sync or a simple Query; its answer is all that the
server sends up to ReadyForQuery. A cut between the two is a cut between COMMIT and its answer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102
REFUSES_ENCRYPTION = b"N"

# messages of a client
QUERY, PARSE, BIND, EXECUTE, SYNC, TERMINATE = b"Q", b"P", b"B", b"E", b"S", b"X"
ENDS_REQUEST = (QUERY, SYNC)
# messages of a server
READY, ERROR = b"Z", b"E"
# what READY says when no transaction is open
IDLE = b"I"

COMMIT = "COMMIT"

LENGTH = struct.Struct("!I")


class Message(msgspec.Struct, frozen=True):
    """One whole message; the first ones of a client have no tag."""

    tag: bytes
    raw: bytes

    @property
    def body(self) -> bytes:
        return self.raw[len(self.tag) + LENGTH.size :]


class Request(msgspec.Struct):
    """What a client has sent up to a Sync or Query, and the statements that it executes."""

    raw: bytes = b""
    statements: tuple[str, ...] = ()
    is_whole: bool = False
    transaction: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Say what it asks for; a COMMIT says of what."""
        asked = ";\n".join(self.statements)
        if self.statements == (COMMIT,):
            return f"{COMMIT} of {'; '.join(self.transaction)}"
        return asked


class Frames:
    """Cuts a stream of bytes into messages."""

    def __init__(self, *, tagged: bool = True) -> None:
        self._tagged = tagged
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Take more bytes and give the messages that are whole by now."""
        self._rest += chunk
        while (message := self._first()) is not None:
            self._rest = self._rest[len(message.raw) :]
            yield message

    def begin_tags(self) -> None:
        """From here on each message has a tag: the start-up is over."""
        self._tagged = True

    def _first(self) -> Message | None:
        tag_size = 1 if self._tagged else 0
        if len(self._rest) < tag_size + LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self._rest, tag_size)
        size = tag_size + length
        if len(self._rest) < size:
            return None
        return Message(self._rest[:tag_size], self._rest[:size])


class Requests:
    """Gathers a client's messages into requests; remembers what its prepared statements say."""

    def __init__(self) -> None:
        self._texts: dict[bytes, str] = {}
        self._portals: dict[bytes, bytes] = {}
        self._current = Request()
        self._transaction: list[str] = []

    def take(self, message: Message) -> Request:
        """Add a message to the request that it belongs to, and give it as it is by now."""
        request = self._current
        request.raw += message.raw
        match message.tag:
            case b"Q":
                self._execute(message.body.split(b"\0", 1)[0].decode())
            case b"P":
                name, text, _ = message.body.split(b"\0", 2)
                self._texts[name] = text.decode()
            case b"B":
                portal, name, _ = message.body.split(b"\0", 2)
                self._portals[portal] = name
            case b"E":
                portal, _ = message.body.split(b"\0", 1)
                self._execute(self._texts.get(self._portals.get(portal, b""), ""))
            case _:
                pass
        if message.tag in ENDS_REQUEST:
            request.is_whole = True
            request.transaction = tuple(self._transaction)
            if any(text.startswith("BEGIN") for text in request.statements):
                self._transaction = []
            self._transaction += request.statements
            if COMMIT in request.statements or "ROLLBACK" in request.statements:
                self._transaction = []
            self._current = Request()
        return request

    def _execute(self, text: str) -> None:
        self._current.statements = (*self._current.statements, text)


def start_up_code(message: Message) -> int:
    """Give what a client's first message is: a protocol version or one of the special requests."""
    (code,) = LENGTH.unpack_from(message.body)
    return code
