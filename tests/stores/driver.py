"""Drives a store as the engine's committer does: one batch after the other, under one id."""

from typing import Any

from unbroken.model.records import Effect, FlowRef, Kind, Parent
from unbroken.stores.batch import (
    Append,
    Appended,
    Batch,
    Change,
    Changed,
    Claim,
    End,
    NewMessage,
    Receipt,
    Record,
    Release,
    Start,
    Started,
    Status,
    Suspend,
)
from unbroken.stores.store import FlowView, Store


class Driver:
    """A replica: its id, generation and the number of its last batch."""

    def __init__(self, store: Store, replica: str) -> None:
        self.store = store
        self.replica = replica
        self.generation = 0
        self.number = 0

    def batch(self, **parts: Any) -> Batch:
        return Batch(self.replica, self.generation, self.number + 1, **parts)

    async def commit(self, **parts: Any) -> Receipt:
        receipt = await self.store.commit(self.batch(**parts))
        assert receipt is not None, "fenced"
        self.number += 1
        return receipt

    async def start(self, id: str, **options: Any) -> Started:
        new = Start(options.pop("type", "t"), id, options.pop("param", "{}"), **options)
        receipt = await self.commit(starts=(new,))
        return receipt.started[0]

    async def run(self, id: str, **options: Any) -> FlowRef:
        """Start a flow that this replica owns, in its first incarnation."""
        started = await self.start(id, owned=True, **options)
        assert started.created
        return started.flow

    async def record(self, *records: Record) -> frozenset[int]:
        return (await self.commit(records=records)).refused

    async def change(self, change: Change) -> Changed:
        (answer,) = (await self.commit(changes=(change,))).changed
        assert isinstance(answer, Changed)
        return answer

    async def send(self, id: str, *keys: str, type: str = "t") -> Appended:
        append = Append(type, id, tuple(note(key) for key in keys))
        (answer,) = (await self.commit(changes=(append,))).changed
        assert isinstance(answer, Appended)
        return answer

    async def cancel(self, id: str, *, type: str = "t") -> Appended:
        append = Append(type, id, (note("~cancel", "null"),), cancels=True)
        (answer,) = (await self.commit(changes=(append,))).changed
        assert isinstance(answer, Appended)
        return answer

    async def claim(self, *types: str, limit: int = 10, **options: Any) -> Receipt:
        return await self.commit(claim=Claim(types or ("t",), limit, **options))

    async def suspend(
        self, flow: FlowRef, *, seen: int = 0, due_at: int | None = None, incarnation: int = 1
    ) -> Changed:
        return await self.change(Suspend(flow, incarnation, seen, due_at))

    async def release(self, flow: FlowRef, *, incarnation: int = 1) -> Changed:
        return await self.change(Release(flow, incarnation))

    async def end(
        self,
        flow: FlowRef,
        status: Status = Status.DONE,
        *,
        incarnation: int = 1,
        parents: tuple[Parent, ...] = (),
        **outcome: Any,
    ) -> Changed:
        return await self.change(End(flow, incarnation, status, parents=parents, **outcome))

    async def view(self, id: str, *, type: str = "t") -> FlowView:
        view = await self.store.view(type, id)
        assert view is not None
        return view

    async def inbox(self, flow: FlowRef) -> tuple[str, ...]:
        """Give the keys of the messages that wait for a flow."""
        inbox = await self.store.read_inbox(flow.number)
        assert inbox is not None
        return tuple(message.key for message in inbox.messages)

    async def keys(self, flow: FlowRef) -> list[str]:
        """Give the keys of what a flow has recorded."""
        return [one.key for one in await self.store.read_effects(flow.number)]


def effect(
    flow: FlowRef,
    key: str,
    body: str = "1",
    *,
    kind: str = Kind.CAPTURE,
    incarnation: int = 1,
    **options: Any,
) -> Record:
    what = Effect(key, kind, body, incarnation=incarnation)
    return Record(flow.number, incarnation, what, **options)


def note(key: str, body: str = '"hello"') -> NewMessage:
    return NewMessage(key, "Note", body)
