"""One batch in one transaction: fence, starts, records, changes, claim."""

from __future__ import annotations

from collections.abc import Sequence

from unbroken.model.records import Claimed, FlowRef
from unbroken.stores.batch import Batch, Receipt, Record
from unbroken.stores.sqlite.changes import change, start
from unbroken.stores.sqlite.claims import take
from unbroken.stores.sqlite.connection import Transaction


class Fenced(Exception):
    """The replica's row does not hold what the batch expects. The store turns it into an answer."""


class SomeRefused(Exception):
    """Not every record could be written; which ones shows only one by one: the store tries that."""


def apply(tx: Transaction, batch: Batch, *, one_by_one: bool) -> Receipt:
    """Apply a batch whole. Raises Fenced, or SomeRefused unless it goes one by one."""
    passed = tx.change(
        "fence",
        replica=batch.replica,
        generation=batch.generation,
        number=batch.number,
        now=tx.now,
    )
    if not passed:
        raise Fenced
    started = tuple(start(tx, batch.replica, new) for new in batch.starts)
    refused: frozenset[int] = frozenset()
    if one_by_one:
        refused = _record_each(tx, batch.replica, batch.records)
    elif batch.records:
        _record_all(tx, batch.replica, batch.records)
    changed = tuple(change(tx, batch.replica, part) for part in batch.changes)
    claimed: tuple[Claimed, ...] = ()
    parked: tuple[FlowRef, ...] = ()
    if batch.claim is not None:
        claimed, parked = take(tx, batch.replica, batch.claim)
    if batch.last:
        tx.change("deregister", replica=batch.replica)
    return Receipt(tx.now, started, refused, changed, claimed, parked)


def is_quiet(batch: Batch) -> bool:
    """Whether no other process need hear of the batch: it changes only what the replica owns."""
    return not batch.starts and not batch.changes and not batch.last


def _record_all(tx: Transaction, replica: str, records: Sequence[Record]) -> None:
    """Write all records in three statements, or none: who is refused is the exception."""
    if tx.change_many("record", [_row(replica, record) for record in records]) < len(records):
        raise SomeRefused
    consumed = [
        {"flow": record.flow, "position": record.consumes}
        for record in records
        if record.consumes is not None
    ]
    if consumed:
        tx.change_many("consume", consumed)
    cleared = [
        {"flow": record.flow, "key": record.effect.key} for record in records if record.clears
    ]
    if cleared:
        tx.change_many("clear", cleared)


def _record_each(tx: Transaction, replica: str, records: Sequence[Record]) -> frozenset[int]:
    """Write records one after the other; give the indices of those that were refused."""
    refused: set[int] = set()
    for index, record in enumerate(records):
        if not tx.change_many("record", [_row(replica, record)]):
            refused.add(index)
            continue
        if record.consumes is not None:
            tx.change("consume", flow=record.flow, position=record.consumes)
        if record.clears:
            tx.change("clear", flow=record.flow, key=record.effect.key)
    return frozenset(refused)


def _row(replica: str, record: Record) -> tuple[object, ...]:
    effect = record.effect
    return (
        record.flow,
        effect.key,
        str(effect.kind),
        int(effect.failed),
        effect.type,
        effect.body,
        effect.digest,
        record.incarnation,
        replica,
    )
