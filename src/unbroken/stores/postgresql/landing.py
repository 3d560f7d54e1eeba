"""What a batch in one statement answered, as a receipt.

What it could not do is looked at in a second statement, by the same replica: of rows it owns,
nobody else changes the owner; the rest is news.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from unbroken.model.errors import OutcomeUnknown
from unbroken.model.records import Delivery, FlowRef, Outcome, Parent, Status
from unbroken.stores.batch import (
    Acknowledge,
    Answer,
    Append,
    Appended,
    Batch,
    Change,
    Changed,
    End,
    Receipt,
    Record,
    Release,
    Start,
    Started,
)
from unbroken.stores.postgresql.catalogue import read_statements
from unbroken.stores.postgresql.driver import Connection
from unbroken.stores.postgresql.faults import Complaint
from unbroken.stores.postgresql.lines import Line, lines_of
from unbroken.stores.transactions.rows import UNREADABLE, decode_parents, to_outcome
from unbroken.stores.transactions.transaction import DamagedRow

ACCEPTED = Changed(Answer.ACCEPTED)
REFUSED = Changed(Answer.REFUSED)


class _Moved(msgspec.Struct, frozen=True):
    """A flow's row after its change: its number, its inbox, its owner."""

    number: int
    inbox: int
    owner: str | None


class _Seen(msgspec.Struct, frozen=True):
    """A row that was not changed, as it is a moment later."""

    number: int
    is_mine: bool | None
    inbox: int
    cancel: bool
    parents: tuple[Parent, ...] | None


async def read_landed(
    connection: Connection, batch: Batch, row: Mapping[str, Any], prefix: str
) -> Receipt:
    """Make the receipt; asks again where rows were not changed as wanted.

    The batch has landed: whatever fails from here on, it must not be sent again as it is.
    """
    try:
        return await _read(connection, batch, row, prefix)
    except Complaint as error:
        raise OutcomeUnknown(f"landed, but {type(error).__name__} hid what it answered") from error


async def _read(
    connection: Connection, batch: Batch, row: Mapping[str, Any], prefix: str
) -> Receipt:
    started: tuple[Started, ...] = ()
    changed: tuple[Changed | Appended, ...] = ()
    refused: frozenset[int] = frozenset()
    if batch.starts:
        started = await _started(connection, batch.starts, row, prefix)
    if batch.records and row["recorded"] is not None:
        refused = _refused(batch.records, row["recorded"])
    if batch.changes:
        changed = await _changed(connection, batch, row, prefix)
    return Receipt(row["now"], started, refused, changed)


async def _started(
    connection: Connection, starts: Sequence[Start], row: Mapping[str, Any], prefix: str
) -> tuple[Started, ...]:
    made = {
        (type_, id_): number
        for number, type_, id_ in zip(row["numbers"], row["types"], row["ids"], strict=True)
    }
    if len(made) == len(starts):
        return tuple(
            Started(FlowRef(made[one.type, one.id], one.type, one.id), created=True)
            for one in starts
        )
    met = await _meet(connection, [one for one in starts if (one.type, one.id) not in made], prefix)
    return tuple(
        Started(FlowRef(made[one.type, one.id], one.type, one.id), created=True)
        if (one.type, one.id) in made
        else met[one.type, one.id]
        for one in starts
    )


async def _meet(
    connection: Connection, starts: Sequence[Start], prefix: str
) -> dict[tuple[str, str], Started]:
    """Read flows that were there already."""
    rows = await connection.fetch(
        read_statements(prefix)["look_at_starts"].text,
        [one.type for one in starts],
        [one.id for one in starts],
        [one.param for one in starts],
    )
    met: dict[tuple[str, str], Started] = {}
    for number, type_, id_, same_param, *ending in rows:
        outcome: Outcome | None = to_outcome((number, type_, id_, *ending))
        assert outcome is not None
        if outcome.status is Status.LIVE:
            outcome = None
        flow = FlowRef(number, type_, id_)
        met[type_, id_] = Started(flow, created=False, same_param=same_param, outcome=outcome)
    if len(met) < len(starts):
        raise OutcomeUnknown("a flow that stood in the way of a start is gone: ask again")
    return met


def _refused(records: Sequence[Record], written: Sequence[str]) -> frozenset[int]:
    """Find the records that were not written; of two with one key only one can have been."""
    left = set(written)
    refused: set[int] = set()
    for index, record in enumerate(records):
        name = f"{record.flow} {record.effect.key}"
        if name in left:
            left.remove(name)
        else:
            refused.add(index)
    return frozenset(refused)


async def _changed(
    connection: Connection, batch: Batch, row: Mapping[str, Any], prefix: str
) -> tuple[Changed | Appended, ...]:
    lines = lines_of(batch.changes)
    moved = {
        place: _Moved(number, inbox, owner)
        for place, number, inbox, owner in zip(
            row["places"], row["moved"], row["inboxes"], row["owners"], strict=True
        )
    }
    delivered: set[tuple[int, int]] = set()
    if any(line.messages for line in lines):
        delivered = set(zip(row["inbox_of"], row["positions"], strict=True))
    missed = {place: line for place, line in enumerate(lines, 1) if place not in moved}
    seen: Mapping[int, _Seen] = {}
    if missed:
        seen = await _look(connection, missed, batch.replica, prefix, row["now"])
        # Who came after the statement had begun was not there for it.
        seen = {place: one for place, one in seen.items() if place not in row["absent"]}
    return tuple(_answers(lines, moved, delivered, seen))


async def _look(
    connection: Connection, missed: Mapping[int, Line], replica: str, prefix: str, now: int
) -> dict[int, _Seen]:
    """Look at the rows of lines that did not change them."""
    parts = [line.part for line in missed.values()]
    found = read_statements(prefix)["look_at_changes"]
    arguments = {
        "replica": replica,
        "places": list(missed),
        "flows": [_number_of(line) for line in missed.values()],
        "types": [part.type if isinstance(part, Append) else None for part in parts],
        "ids": [part.id if isinstance(part, Append) else None for part in parts],
        "incarnations": [getattr(part, "incarnation", None) for part in parts],
    }
    rows = await connection.fetch(found.text, *[arguments[name] for name in found.names])
    return {place: await _see(connection, rest, prefix, now) for place, *rest in rows}


async def _see(connection: Connection, columns: Sequence[Any], prefix: str, now: int) -> _Seen:
    """Read a row; an own one that makes no sense is parked."""
    number, is_mine, inbox, cancel, stored = columns
    try:
        return _Seen(number, is_mine, inbox, cancel, decode_parents(stored))
    except DamagedRow:
        if is_mine:
            await park_unreadable(connection, number, prefix, now)
        return _Seen(number, is_mine, inbox, cancel, None)


async def park_unreadable(connection: Connection, flow: int, prefix: str, now: int) -> FlowRef:
    """Stop an own flow whose row cannot be read."""
    park = read_statements(prefix)["park"]
    values = {"flow": flow, "error": UNREADABLE, "now": now}
    row = await connection.fetchrow(park.text, *[values[name] for name in park.names])
    return FlowRef(*row)


def _number_of(line: Line) -> int | None:
    if line.parent is not None:
        return line.parent.flow.number
    return None if isinstance(line.part, Append) else line.part.flow.number


def _answers(
    lines: Sequence[Line],
    moved: Mapping[int, _Moved],
    delivered: AbstractSet[tuple[int, int]],
    seen: Mapping[int, _Seen],
) -> Iterator[Changed | Appended]:
    """Give one answer a change; those of an end hold what its parents' inboxes answered."""
    appended = {
        place: _appended(line, moved.get(place), delivered, seen.get(place))
        for place, line in enumerate(lines, 1)
        if line.messages
    }
    for place, line in enumerate(lines, 1):
        if line.parent is not None:
            continue
        if isinstance(line.part, Append):
            yield appended[place]
        elif place in moved:
            told = appended.get(place + 1) if isinstance(line.part, End) else None
            is_own = told is not None and lines[place].part is line.part
            yield Changed(Answer.ACCEPTED, told=(told,)) if is_own and told else ACCEPTED
        else:
            yield _not_done(line.part, seen.get(place))


def _appended(
    line: Line, moved: _Moved | None, delivered: AbstractSet[tuple[int, int]], seen: _Seen | None
) -> Appended:
    count = len(line.messages)
    flow = line.parent.flow if line.parent is not None else None
    if moved is None:
        if seen is None:
            return Appended((Delivery.NO_SUCH_FLOW,) * count)
        if isinstance(line.part, Append):
            flow = FlowRef(seen.number, line.part.type, line.part.id)
        return Appended((Delivery.FLOW_ENDED,) * count, flow=flow)
    if isinstance(line.part, Append):
        flow = FlowRef(moved.number, line.part.type, line.part.id)
    positions = range(moved.inbox - count + 1, moved.inbox + 1)
    accepted = [(moved.number, position) in delivered for position in positions]
    return Appended(
        tuple(Delivery.ACCEPTED if one else Delivery.DUPLICATE for one in accepted),
        tuple(p for p, one in zip(positions, accepted, strict=True) if one),
        flow,
        moved.owner,
    )


def _not_done(part: Change, seen: _Seen | None) -> Changed:
    """Say what the owner did not know; who is not the owner is refused."""
    if seen is None or not seen.is_mine or seen.parents is None:
        return REFUSED
    if isinstance(part, (Release, Acknowledge)):
        return REFUSED
    return Changed(Answer.MOVED, seen.inbox, seen.cancel, seen.parents)
