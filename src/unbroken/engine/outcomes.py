"""How one incarnation ends. Frozen data; `executor.py` acts on it."""

from __future__ import annotations

import msgspec


class Succeeded(msgspec.Struct, frozen=True):
    """The flow returned; its result is encoded."""

    body: str
    type: str | None


class Failed(msgspec.Struct, frozen=True):
    """The flow raised; the error is encoded. `live` is the exception itself, for a local caller.

    `failed_at` are the keys of the effects whose error it is: a restart forgets them.
    """

    error: str
    live: BaseException | None = None
    failed_at: tuple[str, ...] = ()


class Retried(msgspec.Struct, frozen=True):
    """The flow raised and is to run again at `due_at`, as it declared; `forgets` as `failed_at`."""

    failed: Failed
    due_at: int


class Cancelled(msgspec.Struct, frozen=True):
    """The flow was cancelled, and has done what it does then; `timed_out` by its own time-out.

    `failed_at` as with `Failed`.
    """

    timed_out: bool = False
    failed_at: tuple[str, ...] = ()


class Continued(msgspec.Struct, frozen=True):
    """The flow begins anew, with other arguments and an empty journal."""

    param: str


class Suspended(msgspec.Struct, frozen=True):
    """The flow waits outside of memory, until `due_at` or its next message."""

    due_at: int | None


class Parked(msgspec.Struct, frozen=True):
    """The flow cannot go on until an operator helps; `mendable`: or until a deploy does."""

    error: str
    mendable: bool = True


class Released(msgspec.Struct, frozen=True):
    """This process stops; any other may go on with the flow."""


class Lost(msgspec.Struct, frozen=True):
    """This process does not own the flow any more; nothing may be written."""


Ending = Succeeded | Failed | Retried | Cancelled | Continued | Suspended | Parked | Released | Lost
