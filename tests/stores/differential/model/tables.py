"""The tables of the model. Rows are frozen, so that a copy of all tables costs next to nothing."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec

from tests.stores.differential.model.freedom import Freedom
from unbroken.model.records import Effect, FlowRef, Message, Parent, Reply, Status
from unbroken.stores.store import State

# Whose inbox is open: a parked flow is not woken, but finds what has come when it goes on.
REACHED = (Status.LIVE, Status.PARKED)


class ReplicaRow(msgspec.Struct, frozen=True):
    """A running process."""

    generation: int
    batch: int
    beat: int
    lease: int


class FlowRow(msgspec.Struct, frozen=True):
    """A flow. `seen`: what its owner knows of the inbox; `not_before`: when it is to begin."""

    ref: FlowRef
    param: str
    created_at: int
    owner: str | None
    due_at: int | None
    not_before: int
    incarnation: int
    inbox: int
    seen: int
    code: int
    depth: int
    parents: tuple[Parent, ...]
    status: Status = Status.LIVE
    version: int = 1
    cancel: bool = False
    crashes: int = 0
    failures: int = 0
    body: str | None = None
    type: str | None = None
    error: str | None = None
    ended_at: int | None = None
    failed_at: tuple[str, ...] = ()
    mendable: bool = False


class Age(IntEnum):
    """Whether a message is consumed: since the flow last went on anew, or before."""

    PENDING = 0
    CONSUMED = 1
    OLD = 2


class Mail(msgspec.Struct, frozen=True):
    """A message in an inbox, or one that is consumed and keeps its key."""

    message: Message
    age: Age = Age.PENDING
    reply: Reply | None = None


class PlaceRow(msgspec.Struct, frozen=True):
    """A flow in a queue; `most` may hold a place while this one is given one."""

    key: str
    most: int
    holds: bool
    since: int


class Tables:
    """All rows, the time of the transaction, and what the store is free to choose.

    Places stand in the order of arrival. `last_number` is the highest that any flow ever had.
    """

    def __init__(self) -> None:
        self.now = 0
        self.last_number = 0
        self.freedom = Freedom()
        self.replicas: dict[str, ReplicaRow] = {}
        self.flows: dict[int, FlowRow] = {}
        self.effects: dict[tuple[int, str], Effect] = {}
        self.mails: dict[tuple[int, int], Mail] = {}
        self.states: dict[int, State] = {}
        self.correlations: set[tuple[str, str, int]] = set()
        self.places: dict[tuple[str, int], PlaceRow] = {}

    def copy(self) -> Tables:
        """Give tables that can be changed without changing these."""
        other = Tables()
        other.now, other.last_number = self.now, self.last_number
        other.replicas = dict(self.replicas)
        other.flows = dict(self.flows)
        other.effects = dict(self.effects)
        other.mails = dict(self.mails)
        other.states = dict(self.states)
        other.correlations = set(self.correlations)
        other.places = dict(self.places)
        return other

    def flow_of(self, type: str, id: str) -> FlowRow | None:
        """Find a flow by the user's names."""
        return next((f for f in self.flows.values() if (f.ref.type, f.ref.id) == (type, id)), None)

    def owned_flow(self, number: int, replica: str, incarnation: int) -> FlowRow | None:
        """Find a flow that the replica owns in this incarnation."""
        flow = self.flows.get(number)
        mine = flow is not None and (flow.owner, flow.incarnation) == (replica, incarnation)
        return flow if mine else None

    def change(self, number: int, **fields: Any) -> FlowRow:
        """Change a flow's row, which its version shows."""
        row = self.flows[number]
        row = msgspec.structs.replace(row, version=row.version + 1, **fields)
        self.flows[number] = row
        return row

    def keys_of(self, flow: int) -> list[str]:
        """Give the keys of what a flow has recorded, in the order of code points."""
        return sorted(key for number, key in self.effects if number == flow)

    def forget(self, flow: int, *keys: str) -> None:
        """Delete effects of a flow, those of them that there are."""
        for key in keys:
            self.effects.pop((flow, key), None)

    def forget_with_all_beneath(self, flow: int, key: str) -> None:
        """Delete an effect of a flow and whatever is recorded beneath its key."""
        self.forget(flow, key, *(one for one in self.keys_of(flow) if is_beneath(key, one)))

    def mails_of(self, flow: int) -> list[Mail]:
        """Give what the flow's inbox knows, in the order of positions."""
        rows = [(at, mail) for (number, at), mail in self.mails.items() if number == flow]
        return [mail for _, mail in sorted(rows, key=lambda row: row[0])]

    def mark(self, flow: int, positions: tuple[int, ...], age: Age) -> None:
        """Say of messages whether they are consumed."""
        for position in positions:
            if mail := self.mails.get((flow, position)):
                self.mails[flow, position] = msgspec.structs.replace(mail, age=age)

    def drop_mails(self, flow: int, *mails: Mail) -> None:
        """Delete messages of a flow: their keys are free again."""
        for mail in mails:
            del self.mails[flow, mail.message.position]


def is_beneath(key: str, other: str) -> bool:
    """Whether a key is a sub-key of another."""
    return other.startswith((f"{key}.", f"{key}/"))
