"""What one transaction carries and what it answers.

A batch belongs to one replica. Its parts are applied in the order of the fields of `Batch`:
starts, effects, states, changes. All of them hang on the fence: the replica's row must hold
`generation` and `number - 1`, and is changed to `number`. If it does not, nothing is written.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from unbroken.model.records import (
    Claimed,
    Delivery,
    Effect,
    FlowRef,
    Outcome,
    Parent,
    Reply,
    Status,
)


class NewMessage(msgspec.Struct, frozen=True):
    """A message on its way to an inbox. Its key is unique in the flow for as long as it exists."""

    key: str
    type: str
    body: str


class Start(msgspec.Struct, frozen=True):
    """A flow to create, or to attach to if its id exists under this type or one of the `aliases`.

    `owned`: the batch's replica runs it at once (incarnation 1, no due time). Otherwise it is due
    at `due_at`. `parent` is told when the flow ends; an existing one that is live or parked takes
    it in addition. `effects` and `messages` are there before the first line runs, if the flow is
    created; of messages with equal keys the first one counts. `code` is the version of the flow's
    code; `depth` counts how many flows stand above it.
    """

    type: str
    id: str
    param: str
    due_at: int | None = None
    owned: bool = False
    parent: Parent | None = None
    aliases: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    messages: tuple[NewMessage, ...] = ()
    code: int = 1
    depth: int = 0


class Started(msgspec.Struct, frozen=True):
    """What a start found or made. `outcome` is set if the flow exists and has ended."""

    flow: FlowRef
    created: bool
    same_param: bool = True
    outcome: Outcome | None = None


class Record(msgspec.Struct, frozen=True):
    """One effect of an owned flow. Applied only if the replica owns this incarnation.

    `consumes`: positions of the messages that are consumed with it. `clears`: everything recorded
    beneath the key (sub-keys begin with `key.` or `key/`) goes in the same transaction. Rare things
    stand in `also`.
    """

    flow: int
    incarnation: int
    effect: Effect
    consumes: tuple[int, ...] = ()
    clears: bool = False
    also: Also | None = None


class Also(msgspec.Struct, frozen=True):
    """What else a record does, in its transaction and only if it is written.

    `drops`: every effect whose key begins with one of these goes; `forgets`: every effect under one
    of these keys, with all beneath. The record itself stays. `restores`: consumed messages at
    these positions become pending again; the counter `inbox` does not move. `replies_to`: the
    consumed message at this position holds `reply` from now on.
    """

    drops: tuple[str, ...] = ()
    forgets: tuple[str, ...] = ()
    restores: tuple[int, ...] = ()
    replies_to: int | None = None
    reply: Reply | None = None


class Publish(msgspec.Struct, frozen=True):
    """The state that an owned flow shows to the outside; the last one stays, also after its end.

    Refused silently (like a record, nothing is written) unless the replica owns this incarnation.
    """

    flow: int
    incarnation: int
    body: str
    type: str | None


class Correlate(msgspec.Struct, frozen=True):
    """Let an owned flow be reached by a correlation id, or no more (`remove`).

    Refused silently unless the replica owns this incarnation.
    """

    flow: FlowRef
    incarnation: int
    correlation: str
    remove: bool = False


class Append(msgspec.Struct, frozen=True):
    """Messages for one flow, in order. Each one counts `inbox` up by one, duplicates too.

    The flow is named by type and id. A live flow without owner becomes due; one that is to begin
    later, or to run again later after a failure, only by a cancel. A parked one takes them and
    stays as it is until somebody lets it go on. `cancels`: it cannot end as `DONE` from now on.
    """

    type: str
    id: str
    messages: tuple[NewMessage, ...]
    cancels: bool = False


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
    accepted, else none. `PARKED` tells nobody. `failed_at` are the keys of the effects that made it
    fail: a restart forgets them, with all beneath. `mendable`: parked because code and journal do
    not fit, so another start of an app tries again. `frees`: the flow may hold places in queues,
    which go, unless it is parked. `restores`: what the forgotten effects had consumed is pending
    again, for a run after a restart.
    """

    flow: FlowRef
    incarnation: int
    status: Status
    body: str | None = None
    type: str | None = None
    error: str | None = None
    parents: tuple[Parent, ...] = ()
    told: NewMessage | None = None
    failed_at: tuple[str, ...] = ()
    mendable: bool = False
    frees: bool = False
    restores: tuple[int, ...] = ()


class Retry(msgspec.Struct, frozen=True):
    """Give an owned flow back that failed and is to run again at `due_at`, as declared.

    `error` stays visible meanwhile; `forgets` are keys that go with all beneath; consumed messages
    at the positions in `restores` become pending again; `failures` counts up. Refused if a cancel
    was asked. `frees` as with `End`.
    """

    flow: FlowRef
    incarnation: int
    error: str
    due_at: int
    forgets: tuple[str, ...] = ()
    frees: bool = False
    restores: tuple[int, ...] = ()


class Continue(msgspec.Struct, frozen=True):
    """Begin an owned flow anew with other arguments and an empty journal, under the same owner.

    The incarnation counts up by one. Effects go; so do messages consumed before the last such
    change, and unread ones from the engine itself (keys that begin with `~`); those consumed since
    keep their keys, unread ones of users come along. Correlations, parents and state stay;
    `failures` is 0 again. Refused if a cancel was asked. `frees` as with `End`.
    """

    flow: FlowRef
    incarnation: int
    param: str
    code: int = 1
    frees: bool = False


class TakePlace(msgspec.Struct, frozen=True):
    """Queue an owned flow up at a lock or semaphore; a flow has one place in each queue.

    If it is at the head of the queue and fewer than `limit` flows hold a place, it holds one now.
    Else it holds one as soon as others leave. It is told by a message of type `~granted` under
    `key` (`~`, a number, `:` and the effect's key) in its own inbox, at once or later. A second
    take of the same flow changes nothing and tells nothing new.
    """

    flow: FlowRef
    incarnation: int
    queue: str
    key: str
    limit: int


class LeavePlace(msgspec.Struct, frozen=True):
    """Leave a queue, as a holder or before one's turn; the next in the queue are told.

    `incarnation` None is an operator's force: whoever owns the flow. Else as with a record.
    """

    flow: FlowRef
    incarnation: int | None
    queue: str


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

    `told` has, for each parent of an accepted end, what its inbox answered. `granted` are messages
    to flows that hold a place now, with what their inbox answered.
    """

    answer: Answer
    inbox: int = 0
    cancel: bool = False
    parents: tuple[Parent, ...] = ()
    told: tuple[Appended, ...] = ()
    granted: tuple[tuple[Appended, NewMessage], ...] = ()


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


Change = (
    Append
    | Suspend
    | Release
    | End
    | Retry
    | Continue
    | TakePlace
    | LeavePlace
    | Correlate
    | Acknowledge
)


class Batch(msgspec.Struct, frozen=True):
    """One transaction. Each flow's row changes at most once in it; `last` deletes the replica."""

    replica: str
    generation: int
    number: int
    starts: tuple[Start, ...] = ()
    records: tuple[Record, ...] = ()
    states: tuple[Publish, ...] = ()
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
