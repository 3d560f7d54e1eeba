"""Records that travel between engine and store. A store takes and returns these, never rows."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Status(StrEnum):
    """Where a flow stands. All but `LIVE` are final, until an operator restarts the flow."""

    LIVE = "live"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PARKED = "parked"


class Delivery(StrEnum):
    """What became of a message that was sent. A parked flow accepts it, for when it goes on."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    NO_SUCH_FLOW = "no such flow"
    FLOW_ENDED = "flow ended"


class Kind(StrEnum):
    """What an effect row records. `ONCE` is the result of an at-most-once effect."""

    CAPTURE = "capture"
    ONCE = "once"
    BEGUN = "begun"
    ATTEMPT = "attempt"
    DEADLINE = "deadline"
    MESSAGE = "message"
    NOW = "now"
    CHILD = "child"
    CUT = "cut"
    CANCEL = "cancel"
    STREAM = "stream"
    RACE = "race"
    PROGRESS = "progress"
    LOCK = "lock"
    PATCH = "patch"
    REPLY = "reply"
    CORRELATION = "correlation"
    SAGA = "saga"


class OnCancel(StrEnum):
    """What becomes of a live child when its parent is cancelled."""

    CANCEL = "cancel"
    WAIT = "wait"
    LEAVE = "leave"


class FlowRef(msgspec.Struct, frozen=True):
    """One flow: the store's number for it and the user's type and id."""

    number: int
    type: str
    id: str


class Parent(msgspec.Struct, frozen=True):
    """Who waits for a child: the parent flow, and the key of its wait."""

    flow: FlowRef
    key: str


class Effect(msgspec.Struct, frozen=True):
    """One recorded result. `failed` says that `body` holds an error.

    `digest` tells the arguments of a capture; for a consumed message it is the message's position.
    """

    key: str
    kind: str
    body: str
    type: str | None = None
    failed: bool = False
    digest: int | None = None
    incarnation: int = 0


class Message(msgspec.Struct, frozen=True):
    """One message in an inbox. Positions grow and may have gaps; `sent_at` is the store's time."""

    position: int
    key: str
    type: str
    body: str
    sent_at: int


class Outcome(msgspec.Struct, frozen=True):
    """How a flow stands or ended. `body` is the result, or the error if it has none."""

    flow: FlowRef
    status: Status
    body: str | None = None
    type: str | None = None
    error: str | None = None


class Reply(msgspec.Struct, frozen=True):
    """What a flow answered to a question. `failed` says that `body` holds an error."""

    body: str
    type: str | None = None
    failed: bool = False


class Claimed(msgspec.Struct, frozen=True):
    """A flow this replica owns, with all that its incarnation needs.

    `failures` counts the runs that failed and were tried again as declared; `code` is the version
    of the flow's code under which it was started; `depth` how many flows stand above it.
    """

    flow: FlowRef
    incarnation: int
    param: str
    inbox: int
    crashes: int = 0
    parents: tuple[Parent, ...] = ()
    effects: tuple[Effect, ...] = ()
    messages: tuple[Message, ...] = ()
    failures: int = 0
    code: int = 1
    depth: int = 0
