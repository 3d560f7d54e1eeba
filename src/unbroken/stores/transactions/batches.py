"""One batch in one transaction: fence, starts, records, states, changes, claim."""

from __future__ import annotations

from collections.abc import Sequence

from unbroken.model.records import Claimed, FlowRef
from unbroken.stores.batch import (
    Acknowledge,
    Also,
    Append,
    Batch,
    Continue,
    Correlate,
    End,
    LeavePlace,
    Publish,
    Receipt,
    Record,
    Retry,
    TakePlace,
)
from unbroken.stores.transactions.changes import change
from unbroken.stores.transactions.claims import take
from unbroken.stores.transactions.rows import end_of
from unbroken.stores.transactions.starts import start
from unbroken.stores.transactions.transaction import Transaction

# Changes of which nobody but the owner takes notice.
PRIVATE = (Acknowledge, Correlate)


class Fenced(Exception):
    """The replica's row does not hold what the batch expects. The store turns it into an answer."""


class SomeRefused(Exception):
    """Not every record could be written; which ones shows only one by one: the store tries that."""


async def apply(tx: Transaction, batch: Batch, *, one_by_one: bool) -> Receipt:
    """Apply a batch whole. Raises Fenced, or SomeRefused unless it goes one by one."""
    passed = await tx.change(
        "fence",
        replica=batch.replica,
        generation=batch.generation,
        number=batch.number,
        now=tx.now,
    )
    if not passed:
        raise Fenced
    if batch.changes:
        await _lock(tx, batch)
    started = [await start(tx, batch.replica, new) for new in batch.starts]
    refused: frozenset[int] = frozenset()
    if one_by_one:
        refused = await _record_each(tx, batch.replica, batch.records)
    elif batch.records:
        await _record_all(tx, batch.replica, batch.records)
    if batch.states:
        await _publish(tx, batch.replica, batch.states)
    changed = [await change(tx, batch.replica, part) for part in batch.changes]
    claimed: tuple[Claimed, ...] = ()
    parked: tuple[FlowRef, ...] = ()
    if batch.claim is not None:
        claimed, parked = await take(tx, batch.replica, batch.claim)
    if batch.last:
        await tx.change("deregister", replica=batch.replica)
    return Receipt(tx.now, tuple(started), refused, tuple(changed), claimed, parked)


def is_quiet(batch: Batch) -> bool:
    """Whether no other process need hear of the batch: it changes only what the replica owns.

    Somebody waits for a reply; nobody waits for a state, or for what a flow has read or registered.
    """
    if batch.starts or batch.last or any(not isinstance(one, PRIVATE) for one in batch.changes):
        return False
    return not any(r.also is not None and r.also.reply is not None for r in batch.records)


async def _lock(tx: Transaction, batch: Batch) -> None:
    """Take the locks that several statements need: queues first, then flows."""
    queues: list[str] = []
    flows: list[int] = []
    names: list[tuple[str, str]] = []
    leaving: list[int] = []
    for part in batch.changes:
        match part:
            case Append():
                names.append((part.type, part.id))
                continue
            case TakePlace() | LeavePlace():
                queues.append(part.queue)
            case End():
                flows += [parent.flow.number for parent in part.parents]
            case _:
                pass
        flows.append(part.flow.number)
        if isinstance(part, (End, Retry, Continue)) and part.frees:
            leaving.append(part.flow.number)
    if leaving:
        queues += [name for (name,) in await tx.all("queues_of", flows=tx.array(leaving))]
    if queues:
        await tx.lock_queues(queues)
    if len(flows) + len(names) > 1 or queues:
        await tx.lock(flows, names)


async def _record_all(tx: Transaction, replica: str, records: Sequence[Record]) -> None:
    """Write all records in three statements, or none: who is refused is the exception.

    A record that does rare things divides them: what it drops or restores is what came before it.
    """
    begin = 0
    for index, record in enumerate(records):
        if record.also is not None:
            await _write(tx, replica, records[begin : index + 1])
            await _do_also(tx, record, record.also)
            begin = index + 1
    if begin < len(records):
        await _write(tx, replica, records[begin:] if begin else records)


async def _write(tx: Transaction, replica: str, records: Sequence[Record]) -> None:
    rows = [_row(replica, record) for record in records]
    if await tx.change_many("record", rows) < len(records):
        raise SomeRefused
    consumed = [
        {"flow": record.flow, "position": position}
        for record in records
        for position in record.consumes
    ]
    if consumed:
        await tx.change_many("consume", consumed)
    cleared = [
        {"flow": record.flow, "key": record.effect.key} for record in records if record.clears
    ]
    if cleared:
        await tx.change_many("clear", cleared)


async def _record_each(tx: Transaction, replica: str, records: Sequence[Record]) -> frozenset[int]:
    """Write records one after the other; give the indices of those that were refused."""
    refused: set[int] = set()
    for index, record in enumerate(records):
        try:
            await _record_all(tx, replica, (record,))
        except SomeRefused:
            refused.add(index)
    return frozenset(refused)


async def _do_also(tx: Transaction, record: Record, also: Also) -> None:
    """Do the rare things; the record itself is written and stays, whatever is dropped."""
    flow, own = record.flow, record.effect.key
    for prefix in also.drops:
        end = end_of(prefix)
        if end is None:
            await tx.change("drop_effects_from", flow=flow, begin=prefix, own=own)
        else:
            await tx.change("drop_effects", flow=flow, begin=prefix, end=end, own=own)
    if also.forgets:
        gone = [{"flow": flow, "key": key} for key in also.forgets if key != own]
        if gone:
            await tx.change_many("forget", gone)
        for key in also.forgets:
            await tx.change("drop_effects", flow=flow, begin=f"{key}.", end=f"{key}0", own=own)
    if also.restores:
        given_back = [{"flow": flow, "position": position} for position in also.restores]
        await tx.change_many("restore", given_back)
    if also.replies_to is not None and also.reply is not None:
        await tx.change(
            "reply",
            flow=flow,
            position=also.replies_to,
            reply=also.reply.body,
            type=also.reply.type,
            failed=also.reply.failed,
        )


async def _publish(tx: Transaction, replica: str, states: Sequence[Publish]) -> None:
    rows = [
        {
            "flow": state.flow,
            "incarnation": state.incarnation,
            "replica": replica,
            "body": state.body,
            "type": state.type,
        }
        for state in states
    ]
    await tx.change_many("publish", rows)


def _row(replica: str, record: Record) -> tuple[object, ...]:
    effect = record.effect
    return (
        record.flow,
        effect.key,
        str(effect.kind),
        effect.failed,
        effect.type,
        effect.body,
        effect.digest,
        record.incarnation,
        replica,
    )
