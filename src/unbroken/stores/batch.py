"""What one transaction carries and what it answers.

A batch belongs to one replica. Its parts are applied in the order of the fields of `Batch`: starts,
effects, changes. All of them hang on the fence: the replica's row must hold `generation` and
`number - 1`, and is changed to `number`. If it does not, nothing is written.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from unbroken.model.records import Claimed, Delivery, Effect, FlowRef, Outcome, Parent, Status


class Start(msgspec.Struct, frozen=True):
    """A flow to create, or to attach to if its id exists.

    `owned`: the batch's replica runs it at once (incarnation 1, no due time). Otherwise it is due
    at `due_at`. `parent` is told when the flow ends; an existing live flow takes it in addition.
    """

    type: str
    id: str
    param: str
    due_at: int | None = None
    owned: bool = False
    parent: Parent | None = None


class Started(msgspec.Struct, frozen=True):
    """What a start found or made. `outcome` is set if the flow exists and has ended."""

    flow: FlowRef
    created: bool
    same_param: bool = True
    outcome: Outcome | None = None


class Record(msgspec.Struct, frozen=True):
    """One effect of an owned flow. Applied only if the replica owns this incarnation.

    `consumes`: the position of the message that is consumed with it. `clears`: everything recorded
    beneath the key (sub-keys begin with `key.` or `key/`) goes in the same transaction.
    """

    flow: int
    incarnation: int
    effect: Effect
    consumes: int | None = None
    clears: bool = False


class NewMessage(msgspec.Struct, frozen=True):
    """A message on its way to an inbox. Its key is unique in the flow for as long as it exists."""

    key: str
    type: str
    body: str


class Append(msgspec.Struct, frozen=True):
    """Messages for one flow, in order. Each one counts `inbox` up by one, duplicates too.

    The flow is named by type and id. A live flow without owner becomes due.
    """

    type: str
    id: str
    messages: tuple[NewMessage, ...]


class Appended(msgspec.Struct, frozen=True):
    """What became of each message. Positions of accepted ones; `owner` is the flow's owner now."""

    deliveries: tuple[Delivery, ...]
    positions: tuple[int, ...] = ()
    flow: FlowRef | None = None
    owner: str | None = None


class Suspend(msgspec.Struct, frozen=True):
    """Give an owned flow back: due at `due_at` or its next message. Refused if the inbox moved."""

    flow: FlowRef
    incarnation: int
    seen: int
    due_at: int | None


class Release(msgspec.Struct, frozen=True):
    """Give an owned flow back, due now, whatever its inbox holds (a clean stop)."""

    flow: FlowRef
    incarnation: int


class End(msgspec.Struct, frozen=True):
    """End an owned flow. `DONE` is refused if a cancel was asked or a parent joined meanwhile.

    Each of the `parents` gets one message (its own key, the body of `told`) if the end is
    accepted, else none. `PARKED` tells nobody.
    """

    flow: FlowRef
    incarnation: int
    status: Status
    body: str | None = None
    type: str | None = None
    error: str | None = None
    parents: tuple[Parent, ...] = ()
    told: NewMessage | None = None


class Acknowledge(msgspec.Struct, frozen=True):
    """The owner has read the inbox up to `inbox`: stop reporting the flow as moved."""

    flow: FlowRef
    incarnation: int
    inbox: int


class Answer(Enum):
    """What became of a change of an owned flow."""

    ACCEPTED = "accepted"
    MOVED = "moved"
    REFUSED = "refused"


class Changed(msgspec.Struct, frozen=True):
    """`MOVED` says what the owner did not know: the inbox, a cancel, the parents.

    `told` has, for each parent of an accepted end, what its inbox answered.
    """

    answer: Answer
    inbox: int = 0
    cancel: bool = False
    parents: tuple[Parent, ...] = ()
    told: tuple[Appended, ...] = ()


class Claim(msgspec.Struct, frozen=True):
    """Take due flows and orphans of known types, oldest first. Always alone in its batch.

    `dead`: ids of replicas known to have no row. `suspects`: how many of the flows may be such as
    lost their replica twice or more without progress. A flow that lost it `poison_after` times is
    not returned but parked with the error `poison`.
    """

    types: tuple[str, ...]
    limit: int
    dead: tuple[str, ...] = ()
    suspects: int = 1
    poison_after: int = 5
    poison: str = ""


Change = Append | Suspend | Release | End | Acknowledge


class Batch(msgspec.Struct, frozen=True):
    """One transaction. Each flow's row changes at most once in it; `last` deletes the replica."""

    replica: str
    generation: int
    number: int
    starts: tuple[Start, ...] = ()
    records: tuple[Record, ...] = ()
    changes: tuple[Change, ...] = ()
    claim: Claim | None = None
    last: bool = False


class Receipt(msgspec.Struct, frozen=True):
    """The answers, in the order of the batch's parts; `at` is the store's time of the transaction.

    `refused` holds the indices of records that were not written because the replica does not own
    that incarnation, or because the key was taken.
    """

    at: int
    started: tuple[Started, ...] = ()
    refused: frozenset[int] = frozenset()
    changed: tuple[Changed | Appended, ...] = ()
    claimed: tuple[Claimed, ...] = ()
    parked: tuple[FlowRef, ...] = ()
