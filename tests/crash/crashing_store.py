"""A store that counts its operations as kill points, and one that tells the ledger of commits.

Both implement the Store protocol by delegation. Beats made by the store's own means are not
counted: when they come is a matter of time, not of the flow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from tests.crash import ledger
from tests.crash.kill_points import KillPoints
from unbroken import Unbroken
from unbroken.model.bus import Bus
from unbroken.model.records import Claimed, Effect, FlowRef, Outcome, Reply, Status
from unbroken.stores.batch import Batch, Receipt
from unbroken.stores.sqlite.store import SqliteStore
from unbroken.stores.store import (
    Amendment,
    Finding,
    FlowView,
    Inbox,
    Place,
    Poll,
    Question,
    Reaped,
    State,
    Store,
)

T = TypeVar("T")


class DelegatingStore:
    """Passes everything on; `_pass` is the one place through which each operation goes."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    async def _pass(self, what: str, operation: Awaitable[T]) -> T:
        return await operation

    @property
    def durability(self) -> str:
        return self.inner.durability

    @property
    def is_durable(self) -> bool:
        return self.inner.is_durable

    async def open(self) -> None:
        await self._pass("open", self.inner.open())

    async def close(self) -> None:
        await self._pass("close", self.inner.close())

    async def examine(self) -> tuple[Finding, ...]:
        return await self.inner.examine()

    def migrations(self) -> str:
        return self.inner.migrations()

    def bus(self) -> Bus:
        return self.inner.bus()

    async def register(self, replica: str, lease: int = 0) -> int:
        return await self._pass("register", self.inner.register(replica, lease))

    async def beat(self, replica: str) -> bool:
        return await self._pass("beat", self.inner.beat(replica))

    def beat_every(self, replica: str | None, seconds: float, lost: Callable[[], None]) -> None:
        self.inner.beat_every(replica, seconds, lost)

    def last_beat(self) -> float:
        return self.inner.last_beat()

    async def settle(self, replica: str, target: int) -> int | None:
        return await self._pass("settle", self.inner.settle(replica, target))

    async def reap(self, me: str, lease: int) -> Reaped:
        return await self._pass("reap", self.inner.reap(me, lease))

    async def commit(self, batch: Batch) -> Receipt | None:
        return await self._pass(f"commit {contents_of(batch)}", self.inner.commit(batch))

    async def poll(
        self,
        replica: str,
        types: Sequence[str],
        awaited: Sequence[int],
        asked: Sequence[Question] = (),
    ) -> Poll:
        return await self._pass("poll", self.inner.poll(replica, types, awaited, asked))

    async def owned(self, replica: str) -> dict[int, int]:
        return await self._pass("owned", self.inner.owned(replica))

    async def load(self, replica: str, numbers: Sequence[int]) -> tuple[Claimed, ...]:
        return await self._pass("load", self.inner.load(replica, numbers))

    async def read_inbox(self, flow: int) -> Inbox | None:
        return await self._pass("read_inbox", self.inner.read_inbox(flow))

    async def find(self, type: str, id: str) -> Outcome | None:
        return await self._pass("find", self.inner.find(type, id))

    async def view(self, type: str, id: str) -> FlowView | None:
        return await self._pass("view", self.inner.view(type, id))

    async def read_effects(self, flow: int) -> tuple[Effect, ...]:
        return await self._pass("read_effects", self.inner.read_effects(flow))

    async def read_state(self, type: str, id: str) -> State | None:
        return await self._pass("read_state", self.inner.read_state(type, id))

    async def read_reply(self, question: Question) -> Reply | None:
        return await self._pass("read_reply", self.inner.read_reply(question))

    async def correlated(self, type: str, correlation: str) -> tuple[FlowRef, ...]:
        return await self._pass("correlated", self.inner.correlated(type, correlation))

    async def places(self, queue: str) -> tuple[Place, ...]:
        return await self._pass("places", self.inner.places(queue))

    async def amend(self, flow: int, version: int, amendment: Amendment) -> bool:
        return await self._pass("amend", self.inner.amend(flow, version, amendment))

    async def mend(self, types: Sequence[str]) -> int:
        return await self._pass("mend", self.inner.mend(types))

    async def list_flows(
        self, type: str, statuses: Sequence[Status], after: int, limit: int
    ) -> tuple[FlowView, ...]:
        listing = self.inner.list_flows(type, statuses, after, limit)
        return await self._pass("list_flows", listing)

    async def delete_ended(self, before: int, limit: int) -> int:
        return await self._pass("delete_ended", self.inner.delete_ended(before, limit))

    async def delete_flow(self, type: str, id: str) -> bool:
        return await self._pass("delete_flow", self.inner.delete_flow(type, id))


class CrashingStore(DelegatingStore):
    """Ends the process before or after the operation that its kill points name."""

    def __init__(self, inner: Store, points: KillPoints) -> None:
        super().__init__(inner)
        self._points = points

    async def _pass(self, what: str, operation: Awaitable[T]) -> T:
        passed = self._points.before(what)
        answer = await operation
        self._points.after(passed)
        return answer


class TellingStore(DelegatingStore):
    """Tells the ledger which batches landed and which were fenced off."""

    async def commit(self, batch: Batch) -> Receipt | None:
        receipt = await self.inner.commit(batch)
        kind = "fenced" if receipt is None else "landed"
        ledger.write(kind, effect=batch.replica, value=batch.number)
        return receipt


class StateTellingStore(DelegatingStore):
    """Tells the ledger which states can be seen from now on."""

    async def commit(self, batch: Batch) -> Receipt | None:
        receipt = await self.inner.commit(batch)
        if receipt is not None:
            for state in batch.states:
                ledger.write("published", value={"flow": state.flow, "state": state.body})
        return receipt


def put_before(app: Unbroken, wrapped: Callable[[Store], Store]) -> None:
    """Put a store of the test before the one that the app opens by its URL; before its start."""
    app._store = wrapped(app._store)


def make_blind(app: Unbroken) -> None:
    """Take the app the means to see at once that another process has ended; before its start."""
    store: Any = app._store
    while isinstance(store, DelegatingStore):
        store = store.inner
    if not isinstance(store, SqliteStore):
        return  # elsewhere the lease alone tells it

    def nobody_is_gone(replicas: Iterable[str]) -> list[str]:
        return []

    store._lock.gone = nobody_is_gone


def contents_of(batch: Batch) -> str:
    """Say what a batch carries."""
    parts = [f"{len(batch.starts)} starts"] if batch.starts else []
    parts += [record.effect.key for record in batch.records]
    parts += ["state" for _ in batch.states]
    parts += [type(change).__name__ for change in batch.changes]
    parts += ["claim"] if batch.claim else []
    parts += ["last"] if batch.last else []
    return "+".join(parts) or "nothing"
