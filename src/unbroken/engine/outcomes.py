"""How one incarnation ends. Frozen data; `executor.py` acts on it."""

from __future__ import annotations

import msgspec


class Succeeded(msgspec.Struct, frozen=True):
    """The flow returned; its result is encoded."""

    body: str
    type: str | None


class Failed(msgspec.Struct, frozen=True):
    """The flow raised; the error is encoded. `live` is the exception itself, for a local caller."""

    error: str
    live: BaseException | None = None


class Suspended(msgspec.Struct, frozen=True):
    """The flow waits outside of memory, until `due_at` or its next message."""

    due_at: int | None


class Parked(msgspec.Struct, frozen=True):
    """The flow cannot go on until an operator or a deploy helps."""

    error: str


class Released(msgspec.Struct, frozen=True):
    """This process stops; any other may go on with the flow."""


class Lost(msgspec.Struct, frozen=True):
    """This process does not own the flow any more; nothing may be written."""


Ending = Succeeded | Failed | Suspended | Parked | Released | Lost
