"""One step of a sequence: what is asked of a store, written so that it can be asked alone.

The numbers of flows are those of the sequence: `10 * step + 1` for the first flow that a step
creates, so that they stay what they are when other steps are left out. What is compared with a
replica's row or a flow's version is written as a difference to what is right at that moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from tests.stores.differential.model.tables import Tables
from unbroken.model.errors import StoreError
from unbroken.model.records import Claimed, Effect, FlowRef, Outcome, Reply, Status
from unbroken.stores.batch import Batch, Receipt
from unbroken.stores.store import Amendment, FlowView, Inbox, Place, Poll, Question, Reaped, State


class Wait(msgspec.Struct, frozen=True):
    """Let time go by: so many microseconds."""

    microseconds: int


class Register(msgspec.Struct, frozen=True):
    replica: str
    lease: int = 0


class Beat(msgspec.Struct, frozen=True):
    replica: str


class Settle(msgspec.Struct, frozen=True):
    """Settle at the present generation plus `above`."""

    replica: str
    above: int = 1


class Reap(msgspec.Struct, frozen=True):
    me: str
    lease: int


class Commit(msgspec.Struct, frozen=True):
    """Commit a batch. Its generation and number are differences: zero is what passes the fence."""

    batch: Batch


class Look(msgspec.Struct, frozen=True):
    """Poll."""

    replica: str
    types: tuple[str, ...]
    awaited: tuple[int, ...] = ()
    asked: tuple[Question, ...] = ()


class Load(msgspec.Struct, frozen=True):
    replica: str
    numbers: tuple[int, ...]


class Page(msgspec.Struct, frozen=True):
    """List flows."""

    type: str
    statuses: tuple[Status, ...]
    after: int
    limit: int


class Amend(msgspec.Struct, frozen=True):
    """Amend a flow at its present version plus `ahead`."""

    flow: int
    ahead: int
    amendment: Amendment


class Mend(msgspec.Struct, frozen=True):
    types: tuple[str, ...]


class DeleteEnded(msgspec.Struct, frozen=True):
    """Delete what ended before now plus `from_now`."""

    from_now: int
    limit: int


class DeleteFlow(msgspec.Struct, frozen=True):
    type: str
    id: str


Request = (
    Register
    | Beat
    | Settle
    | Reap
    | Commit
    | Look
    | Load
    | Page
    | Amend
    | Mend
    | DeleteEnded
    | DeleteFlow
)

# What each request calls, with its fields as arguments.
METHODS: Mapping[type[Request], str] = {
    Register: "register",
    Beat: "beat",
    Settle: "settle",
    Reap: "reap",
    Commit: "commit",
    Look: "poll",
    Load: "load",
    Page: "list_flows",
    Amend: "amend",
    Mend: "mend",
    DeleteEnded: "delete_ended",
    DeleteFlow: "delete_flow",
}


class Step(msgspec.Struct, frozen=True):
    """One request, or a wait, and its place in the sequence in which it was found."""

    number: int
    what: Request | Wait

    @property
    def first_number(self) -> int:
        """Give the number of the first flow that the step creates."""
        return 10 * self.number + 1


class Subject(Protocol):
    """What both a store and the model can be asked."""

    async def register(self, replica: str, lease: int) -> int: ...
    async def beat(self, replica: str) -> bool: ...
    async def settle(self, replica: str, target: int) -> int | None: ...
    async def reap(self, me: str, lease: int) -> Reaped: ...
    async def commit(self, batch: Batch) -> Receipt | None: ...
    async def poll(
        self,
        replica: str,
        types: Sequence[str],
        awaited: Sequence[int],
        asked: Sequence[Question],
    ) -> Poll: ...
    async def owned(self, replica: str) -> dict[int, int]: ...
    async def load(self, replica: str, numbers: Sequence[int]) -> tuple[Claimed, ...]: ...
    async def read_inbox(self, flow: int) -> Inbox | None: ...
    async def find(self, type: str, id: str) -> Outcome | None: ...
    async def view(self, type: str, id: str) -> FlowView | None: ...
    async def read_effects(self, flow: int) -> tuple[Effect, ...]: ...
    async def read_state(self, type: str, id: str) -> State | None: ...
    async def read_reply(self, question: Question) -> Reply | None: ...
    async def correlated(self, type: str, correlation: str) -> tuple[FlowRef, ...]: ...
    async def places(self, queue: str) -> tuple[Place, ...]: ...
    async def list_flows(
        self, type: str, statuses: Sequence[Status], after: int, limit: int
    ) -> tuple[FlowView, ...]: ...
    async def amend(self, flow: int, version: int, amendment: Amendment) -> bool: ...
    async def mend(self, types: Sequence[str]) -> int: ...
    async def delete_ended(self, before: int, limit: int) -> int: ...
    async def delete_flow(self, type: str, id: str) -> bool: ...


def exact(what: Request, tables: Tables, now: int) -> Request:
    """Write a request with what the differences in it mean now."""
    match what:
        case Commit(batch=batch):
            row = tables.replicas.get(batch.replica)
            if row is None:
                return what
            generation, number = row.generation + batch.generation, row.batch + 1 + batch.number
            return Commit(replace(batch, generation=generation, number=number))
        case Settle(replica=replica, above=above):
            row = tables.replicas.get(replica)
            return what if row is None else Settle(replica, row.generation + above)
        case Amend(flow=flow, ahead=ahead):
            row = tables.flows.get(flow)
            return what if row is None else replace(what, ahead=row.version + ahead)
        case DeleteEnded(from_now=from_now):
            return replace(what, from_now=now + from_now)
        case _:
            return what


async def ask(subject: Subject, what: Request) -> object:
    """Ask for what an exact request says; an error of the store is an answer too."""
    method: Any = getattr(subject, METHODS[type(what)])
    try:
        return in_canonical_order(await method(*msgspec.structs.astuple(what)))
    except StoreError as error:
        return type(error).__name__


def in_canonical_order(answer: object) -> object:
    """Sort what the protocol gives in no order."""
    match answer:
        case Receipt(claimed=claimed, parked=parked):
            by_number = sorted(parked, key=lambda flow: flow.number)
            whole = tuple(_with_sorted_effects(one) for one in claimed)
            return replace(answer, claimed=whole, parked=tuple(by_number))
        case Poll(moved=moved, ended=ended, answered=answered, gone=gone):
            return replace(
                answer,
                moved=tuple(sorted(moved)),
                ended=tuple(sorted(ended, key=lambda one: one.flow.number)),
                answered=tuple(sorted(answered, key=lambda one: (one[0].flow, one[0].key))),
                gone=tuple(sorted(gone, key=lambda one: (one.flow, one.key))),
            )
        case Reaped(dead=dead):
            return replace(answer, dead=tuple(sorted(dead)))
        case (Claimed(), *_):
            loaded: list[Claimed] = [one for one in answer if isinstance(one, Claimed)]
            loaded.sort(key=lambda one: one.flow.number)
            return tuple(_with_sorted_effects(one) for one in loaded)
        case _:
            return answer


def _with_sorted_effects(claimed: Claimed) -> Claimed:
    return replace(claimed, effects=tuple(sorted(claimed.effects, key=lambda one: one.key)))
