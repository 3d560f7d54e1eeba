"""A connection of psycopg as the store sees its own, and a life of flows to run on both.

A raw cursor takes the same text, `$1` and all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from unbroken.model.records import Effect, FlowRef, Kind, Parent, Reply, Status
from unbroken.stores.batch import (
    Acknowledge,
    Also,
    Append,
    Batch,
    Change,
    Claim,
    Continue,
    Correlate,
    End,
    LeavePlace,
    NewMessage,
    Publish,
    Receipt,
    Record,
    Release,
    Retry,
    Start,
    Suspend,
    TakePlace,
)
from unbroken.stores.postgresql.catalogue import PREFIX, read_statements
from unbroken.stores.postgresql.claiming import claim_at_once
from unbroken.stores.postgresql.one_statement import commit_at_once, fits
from unbroken.stores.postgresql.transaction import PostgresTransaction
from unbroken.stores.store import Amendment, Question
from unbroken.stores.transactions import operators, reads, replicas
from unbroken.stores.transactions.batches import apply

NOW = 1_000_000
LATER = 10 * NOW


class NamedRow(tuple[Any, ...]):
    """A row whose columns have a place and a name, as those of the store's own driver have."""

    __slots__ = ()
    names: tuple[str, ...] = ()

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(self.names.index(key) if isinstance(key, str) else key)


def named_rows(cursor: psycopg.AsyncCursor[Any]) -> Callable[[Sequence[Any]], NamedRow]:
    """Make rows with the names of what a statement gives."""
    names = tuple(column.name for column in cursor.description or ())
    return type("Row", (NamedRow,), {"names": names})


class OnPsycopg:
    """Runs statements as the store writes them within a transaction of somebody else."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def _run(self, query: str, values: Sequence[object]) -> psycopg.AsyncCursor[Any]:
        cursor = psycopg.AsyncRawCursor(self._connection, row_factory=named_rows)
        return await cursor.execute(query.encode(), values or None)

    async def execute(self, query: str, *values: object) -> str:
        return (await self._run(query, values)).statusmessage or ""

    async def fetch(self, query: str, *values: object) -> list[NamedRow]:
        return await (await self._run(query, values)).fetchall()

    async def fetchrow(self, query: str, *values: object) -> NamedRow | None:
        return await (await self._run(query, values)).fetchone()

    async def fetchval(self, query: str, *values: object) -> Any:
        row = await self.fetchrow(query, *values)
        return None if row is None else row[0]


class Life:
    """One replica in a transaction that is open, on whichever driver; and what it was answered."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._number = 0
        self.tx = PostgresTransaction(connection, read_statements(PREFIX), NOW)
        self.told: list[object] = []

    async def commit(self, **parts: Any) -> Receipt:
        """Apply a batch, as one statement wherever that is possible."""
        self._number += 1
        batch = Batch("me", 0, self._number, **parts)
        receipt: Receipt | None
        if batch.claim is not None:
            receipt = await claim_at_once(
                self._connection, batch, batch.claim, prefix=PREFIX, now=NOW, beats=True
            )
        elif fits(batch):
            receipt = await commit_at_once(
                self._connection, batch, prefix=PREFIX, now=NOW, beats=True
            )
        else:
            receipt = await apply(self.tx, batch, one_by_one=True)
        assert receipt is not None, "fenced"
        self.told.append(receipt)
        return receipt

    async def change(self, *changes: Change) -> None:
        await self.commit(changes=changes)

    async def start(self, *starts: Start) -> list[FlowRef]:
        return [one.flow for one in (await self.commit(starts=starts)).started]


def effect(key: str, kind: Kind = Kind.CAPTURE, digest: int | None = None) -> Effect:
    return Effect(key, kind, f'"{key}"', "str", failed=False, digest=digest)


async def life_of_flows(connection: Any) -> list[object]:
    """Let flows begin, record, wait, queue up, end and be looked at; give all that was answered."""
    life = Life(connection)
    await replicas.register(life.tx, "me", 5)
    await replicas.register(life.tx, "gone", 1)
    parent, flow = await life.start(
        Start("t", "parent", "{}", owned=True), Start("t", "flow", '{"a": 1}', owned=True, depth=2)
    )
    above = Parent(parent, "child")
    child, due = await life.start(
        Start("t", "child", "{}", owned=True, parent=above), Start("t", "due", "{}", due_at=1)
    )
    await life.start(Start("t", "due", "{}"), Start("t", "late", "{}", due_at=LATER))
    await _write(life, flow, child)
    await _queue_up(life, flow, child)
    await _end(life, flow, child, above)
    await life.commit(claim=Claim(("t",), 10, dead=("gone",)))
    await _look(life, flow, due)
    return life.told


async def _write(life: Life, flow: FlowRef, other: FlowRef) -> None:
    sent = tuple(NewMessage(key, "str", f'"{key}"') for key in ("m", "n", "m"))
    await life.change(Append("t", "flow", sent), Append("t", "nobody", sent[:1]))
    records = (
        Record(flow.number, 1, effect("a.1", Kind.ATTEMPT)),
        Record(flow.number, 1, effect("b", Kind.ONCE, digest=-(2**60))),
        Record(other.number, 7, effect("of another incarnation")),
    )
    await life.commit(
        records=records,
        states=(Publish(flow.number, 1, "1", None), Publish(flow.number, 1, "2", "int")),
    )
    await life.commit(records=(Record(flow.number, 1, effect("a"), (1, 2), clears=True),))
    also = Also(("b",), ("a",), (2,), 1, Reply('"r"', "str"))
    await life.commit(records=(Record(flow.number, 1, effect("c"), also=also),))
    new = Start("t", "old name", "{}", aliases=("s",), effects=(effect("x"),), messages=sent)
    await life.start(new)


async def _queue_up(life: Life, flow: FlowRef, other: FlowRef) -> None:
    for one in (flow, other):
        await life.change(TakePlace(one, 1, "q", "~1:lock", 1))
    life.told.append(await reads.places(life.tx, "q"))
    await life.change(LeavePlace(flow, 1, "q"))
    await life.change(Correlate(flow, 1, "order 7"))
    life.told.append(await reads.correlated(life.tx, "t", "order 7"))


async def _end(life: Life, flow: FlowRef, child: FlowRef, above: Parent) -> None:
    told = NewMessage("", "~ended", "null")
    done = End(child, 1, Status.DONE, "1", "int", parents=(above,), told=told)
    await life.change(Suspend(flow, 1, 0, None), done, Acknowledge(above.flow, 1, 1))
    await life.change(Suspend(flow, 1, 3, None))
    await life.change(done, Release(above.flow, 1))
    retried, continued, failed = await life.start(
        *(Start("t", f"again {number}", "{}", owned=True) for number in range(3))
    )
    await life.change(Retry(retried, 1, "{}", 5, ("a",), frees=True, restores=(1,)))
    await life.change(Continue(continued, 1, "[]", 2))
    await life.change(End(failed, 1, Status.FAILED, error="{}", failed_at=("a",)))
    again = Amendment("[]", restarts=True)
    life.told.append(await operators.amend(life.tx, failed.number, 2, again))


async def _look(life: Life, flow: FlowRef, due: FlowRef) -> None:
    tx, told = life.tx, life.told
    asked = (Question(flow.number, "m"), Question(flow.number, "none"))
    told += [
        await reads.poll(tx, "me", ("t",), (flow.number, due.number), asked),
        await reads.owned(tx, "me"),
        await reads.load(tx, "me", (flow.number, due.number)),
        await reads.read_inbox(tx, flow.number),
        await reads.find(tx, "t", "child"),
        await reads.view(tx, "t", "flow"),
        await reads.read_effects(tx, flow.number),
        await reads.read_state(tx, "t", "flow"),
        await reads.read_reply(tx, asked[0]),
        await reads.list_flows(tx, "t", (Status.LIVE, Status.DONE), 0, 100),
        await operators.mend(tx, ("t", "s")),
        await operators.delete_ended(tx, LATER, 100),
        await operators.delete_flow(tx, "t", "again 2"),
        await replicas.settle(tx, "me", 3),
        await replicas.reap(tx, "me", 1, ("gone",)),
        await replicas.look_for_dead(tx, "me", 1),
        await replicas.beat(tx, "me"),
    ]
