"""The protocol's calls on the model's tables: each one is one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from tests.stores.differential.model import claims, operators, reads
from tests.stores.differential.model.freedom import Freedom
from tests.stores.differential.model.records import publish, record_all
from tests.stores.differential.model.runs import change
from tests.stores.differential.model.starts import start
from tests.stores.differential.model.tables import ReplicaRow, Tables
from unbroken.model.clock import Clock
from unbroken.model.errors import BatchRefused
from unbroken.model.records import Claimed, Effect, FlowRef, Outcome, Reply, Status
from unbroken.stores.batch import Batch, Receipt
from unbroken.stores.store import Amendment, FlowView, Inbox, Place, Poll, Question, Reaped, State

LARGEST = 2**63 - 1


class Model:
    """What a store is to answer, and to hold."""

    def __init__(self, clock: Clock, tables: Tables | None = None) -> None:
        self.tables = Tables() if tables is None else tables
        self._clock = clock

    def copy(self, freedom: Freedom) -> Model:
        """Give a model that stands as this one does and has these choices before it."""
        tables = self.tables.copy()
        tables.freedom = freedom
        return Model(self._clock, tables)

    # replicas

    async def register(self, replica: str, lease: int = 0) -> int:
        tables = self._begin()
        assert replica not in tables.replicas, "an id is tried once"
        tables.replicas[replica] = ReplicaRow(0, 0, tables.now, lease)
        return tables.now

    async def beat(self, replica: str) -> bool:
        return self._touch(self._begin(), replica)

    async def settle(self, replica: str, target: int) -> int | None:
        tables = self._begin()
        row = tables.replicas.get(replica)
        if row is None:
            return None
        tables.replicas[replica] = replace(row, generation=max(row.generation, target))
        return row.batch

    async def reap(self, me: str, lease: int) -> Reaped:
        tables = self._begin()
        others = {
            id: row.beat + max(row.lease, lease) for id, row in tables.replicas.items() if id != me
        }
        late = [id for id, expiry in others.items() if expiry < tables.now]
        for id in late:
            del tables.replicas[id], others[id]
        owners = {flow.owner for flow in tables.flows.values() if flow.owner is not None}
        dead = tuple(sorted(owners - tables.replicas.keys()))
        return Reaped(tables.now, len(late), dead, min(others.values(), default=None))

    # writes of a replica

    async def commit(self, batch: Batch) -> Receipt | None:
        tables, replica = self._begin(), batch.replica
        row = tables.replicas.get(replica)
        if row is None or (row.generation, row.batch) != (batch.generation, batch.number - 1):
            if tables.freedom.pick(2):  # a store may look at the contents first
                _refuse_what_no_store_holds(batch)
            return None
        _refuse_what_no_store_holds(batch)
        tables.replicas[replica] = replace(row, batch=batch.number, beat=tables.now)
        started = tuple(start(tables, replica, part) for part in batch.starts)
        tables.last_number = max([tables.last_number, *tables.flows])
        refused = record_all(tables, replica, batch.records)
        for part in batch.states:
            publish(tables, replica, part)
        changed = tuple(change(tables, replica, part) for part in batch.changes)
        claimed: tuple[Claimed, ...] = ()
        parked: tuple[FlowRef, ...] = ()
        if batch.claim is not None:
            numbers, parked = claims.take(tables, replica, batch.claim)
            claimed = reads.claimed(tables, replica, numbers)
        if batch.last:
            del tables.replicas[replica]
        return Receipt(tables.now, started, refused, changed, claimed, parked)

    # reads

    async def poll(
        self,
        replica: str,
        types: Sequence[str],
        awaited: Sequence[int],
        asked: Sequence[Question] = (),
    ) -> Poll:
        return reads.poll(self._begin(), replica, types, awaited, asked)

    async def owned(self, replica: str) -> dict[int, int]:
        flows = self.tables.flows.items()
        return {number: flow.incarnation for number, flow in flows if flow.owner == replica}

    async def load(self, replica: str, numbers: Sequence[int]) -> tuple[Claimed, ...]:
        return reads.claimed(self.tables, replica, numbers)

    async def read_inbox(self, flow: int) -> Inbox | None:
        return reads.inbox_of(self.tables, flow)

    async def find(self, type: str, id: str) -> Outcome | None:
        flow = self.tables.flow_of(type, id)
        return None if flow is None else reads.outcome_of(flow)

    async def view(self, type: str, id: str) -> FlowView | None:
        flow = self.tables.flow_of(type, id)
        return None if flow is None else reads.view_of(flow)

    async def read_effects(self, flow: int) -> tuple[Effect, ...]:
        return reads.effects_of(self.tables, flow)

    async def read_state(self, type: str, id: str) -> State | None:
        flow = self.tables.flow_of(type, id)
        return None if flow is None else self.tables.states.get(flow.ref.number)

    async def read_reply(self, question: Question) -> Reply | None:
        for mail in self.tables.mails_of(question.flow):
            if mail.message.key == question.key:
                return mail.reply
        return None

    async def correlated(self, type: str, correlation: str) -> tuple[FlowRef, ...]:
        return reads.correlated(self.tables, type, correlation)

    async def places(self, queue: str) -> tuple[Place, ...]:
        return reads.places_of(self.tables, queue)

    async def list_flows(
        self, type: str, statuses: Sequence[Status], after: int, limit: int
    ) -> tuple[FlowView, ...]:
        flows = [
            reads.view_of(flow)
            for number, flow in sorted(self.tables.flows.items())
            if flow.ref.type == type and number > after
            if not statuses or flow.status in statuses
        ]
        return tuple(flows[:limit])

    # operators and housekeeping

    async def amend(self, flow: int, version: int, amendment: Amendment) -> bool:
        return operators.amend(self._begin(), flow, version, amendment)

    async def mend(self, types: Sequence[str]) -> int:
        return operators.mend(self._begin(), types)

    async def delete_ended(self, before: int, limit: int) -> int:
        return operators.delete_ended(self._begin(), before, limit)

    async def delete_flow(self, type: str, id: str) -> bool:
        return operators.delete_flow(self._begin(), type, id)

    def _begin(self) -> Tables:
        self.tables.now = self._clock.now()
        return self.tables

    @staticmethod
    def _touch(tables: Tables, replica: str) -> bool:
        row = tables.replicas.get(replica)
        if row is not None:
            tables.replicas[replica] = replace(row, beat=tables.now)
        return row is not None


def _refuse_what_no_store_holds(batch: Batch) -> None:
    """Refuse half a character, and a number of more than 64 bits."""
    for new in batch.starts:
        try:
            new.param.encode()
        except UnicodeEncodeError:
            raise BatchRefused("half a character") from None
    digests = [record.effect.digest or 0 for record in batch.records]
    if any(not -LARGEST - 1 <= digest <= LARGEST for digest in digests):
        raise BatchRefused("a number of more than 64 bits")
