"""A batch as one statement: one round trip, one commit, nothing held while a process thinks.

Nearly all batches fit. What does not (rare changes; flows that exist already and take in a parent;
keys that one record writes and another clears) goes one statement after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate
from typing import Any

from unbroken.stores.batch import (
    Acknowledge,
    Append,
    Batch,
    Change,
    End,
    Publish,
    Receipt,
    Record,
    Release,
    Start,
    Suspend,
)
from unbroken.stores.postgresql.catalogue import Statement, read_texts, statement
from unbroken.stores.postgresql.driver import Connection, PostgresError, state_of
from unbroken.stores.postgresql.landing import read_landed
from unbroken.stores.postgresql.lines import Line, lines_of
from unbroken.stores.transactions.rows import NO_PARENTS, encode_keys, encode_parents

Values = dict[str, Any]

DIVISION_BY_ZERO = "22012"


class Unusual(Exception):
    """A batch met what one statement cannot deal with; nothing of it was written."""


def fits(batch: Batch) -> bool:
    """Whether one statement can do all of a batch, unless it meets something unusual."""
    if batch.claim is not None or batch.last:
        return False
    return (
        all(map(_is_plain_change, batch.changes))
        and _is_each_row_changed_once(batch)
        and not any(start.aliases or start.effects or start.messages for start in batch.starts)
        and _are_plain(batch.records)
    )


def _is_plain_change(part: Change) -> bool:
    match part:
        case Append() | Suspend() | Release() | Acknowledge():
            return True
        case End():
            return not (part.frees or part.restores) and len(part.parents) <= 1
        case _:
            return False


def _is_each_row_changed_once(batch: Batch) -> bool:
    """Whether no flow is met twice: a statement sees none of its own changes."""
    met = [(start.type, start.id) for start in batch.starts]
    for part in batch.changes:
        if isinstance(part, Append):
            met.append((part.type, part.id))
            continue
        met.append((part.flow.type, part.flow.id))
        if isinstance(part, End):
            met += [(parent.flow.type, parent.flow.id) for parent in part.parents]
    return len(set(met)) == len(met)


def _are_plain(records: Sequence[Record]) -> bool:
    clearing: list[Record] = []
    for record in records:
        if record.also is not None:
            return False
        if record.clears:
            clearing.append(record)
    if not clearing or len(records) == 1:
        return True
    # What a record of this batch writes, another one must not clear: it would not be seen.
    keys: dict[int, list[str]] = {}
    for record in records:
        keys.setdefault(record.flow, []).append(record.effect.key)
    return not any(
        other.startswith((f"{record.effect.key}.", f"{record.effect.key}/"))
        for record in clearing
        for other in keys[record.flow]
    )


@cache
def compose(prefix: str, parts: tuple[str, ...], answers: tuple[str, ...]) -> Statement:
    """Join the parts of a batch into one statement."""
    texts = read_texts(prefix)
    body = ", ".join(texts[f"with_{part}"] for part in parts)
    told = "".join(f", {texts[f'answer_{answer}']}" for answer in answers)
    return statement(texts["whole_batch"].replace("{parts}", body).replace("{answers}", told))


async def commit_at_once(
    connection: Connection, batch: Batch, *, prefix: str, now: int | None, beats: bool
) -> Receipt | None:
    """Apply a batch in one statement. None: fenced. Raises Unusual: nothing was written."""
    values: Values = {
        "replica": batch.replica,
        "generation": batch.generation,
        "number": batch.number,
        "now": now,
    }
    parts = ["fence"]
    answers: list[str] = []
    if beats:
        parts.append("beat")
    for add, content, name in _SECTIONS:
        added = content(batch)
        if added:
            add(values, added, parts)
            if name:
                answers.append(name)
    if "messages" in parts:
        answers.append("messages")
    if "consumed" in parts or "cleared" in parts:
        answers.append("all_records")
    composed = compose(prefix, tuple(parts), tuple(answers))
    try:
        row = await connection.fetchrow(composed.text, *[values[name] for name in composed.names])
    except PostgresError as error:
        if state_of(error) == DIVISION_BY_ZERO:
            raise Unusual from None
        raise
    if row is None:
        return None
    return await read_landed(connection, batch, row, prefix)


def _add_starts(values: Values, starts: Sequence[Start], parts: list[str]) -> None:
    parts.append("starts")
    values["start_types"] = [start.type for start in starts]
    values["start_ids"] = [start.id for start in starts]
    values["start_owned"] = [start.owned for start in starts]
    values["start_due"] = [start.due_at for start in starts]
    values["start_codes"] = [start.code for start in starts]
    values["start_depths"] = [start.depth for start in starts]
    values["start_params"] = [start.param for start in starts]
    values["start_parents"] = [
        encode_parents((start.parent,)) if start.parent else NO_PARENTS for start in starts
    ]
    values["joining"] = sum(1 for start in starts if start.parent)


def _add_records(values: Values, records: Sequence[Record], parts: list[str]) -> None:
    parts.append("records")
    effects = [record.effect for record in records]
    values["flows"] = [record.flow for record in records]
    values["keys"] = [effect.key for effect in effects]
    values["kinds"] = [effect.kind for effect in effects]
    values["failed"] = [effect.failed for effect in effects]
    values["types"] = [effect.type for effect in effects]
    values["bodies"] = [effect.body for effect in effects]
    values["digests"] = [effect.digest for effect in effects]
    values["incarnations"] = [record.incarnation for record in records]
    consuming = [record for record in records if record.consumes]
    if consuming:
        parts.append("consumed")
        taken = [(one.flow, position) for one in consuming for position in one.consumes]
        values["consumed_flows"] = [flow for flow, _ in taken]
        values["consumed_positions"] = [position for _, position in taken]
    clearing = [record for record in records if record.clears]
    if clearing:
        parts.append("cleared")
        values["cleared_flows"] = [record.flow for record in clearing]
        values["cleared_keys"] = [record.effect.key for record in clearing]


def _add_states(values: Values, states: Sequence[Publish], parts: list[str]) -> None:
    parts.append("states")
    values["state_flows"] = [state.flow for state in states]
    values["state_incarnations"] = [state.incarnation for state in states]
    values["state_bodies"] = [state.body for state in states]
    values["state_types"] = [state.type for state in states]


CHANGE_COLUMNS = (
    *("change_kinds", "change_flows", "change_types", "change_ids", "change_incarnations"),
    *("change_seen", "change_due", "change_cancels", "change_of"),
    *("end_statuses", "end_results", "end_result_types", "end_errors", "end_parents"),
    *("end_failed_at", "end_mendable"),
)
NO_END = (None, None, None, None, None, None, None, None)


def _add_changes(values: Values, changes: Sequence[Change], parts: list[str]) -> None:
    parts.append("changes")
    lines = lines_of(changes)
    rows = [_columns(line) for line in lines]
    for name, column in zip(CHANGE_COLUMNS, zip(*rows, strict=True), strict=True):
        values[name] = list(column)
    counts = [len(line.messages) for line in lines]
    values["change_more"] = counts
    values["change_first"] = list(accumulate(counts, initial=0))[:-1]
    # A message to a parent needs the line before, the end, to be done.
    values["change_needs"] = [
        None if line.parent is None else place for place, line in enumerate(lines)
    ]
    messages = [message for line in lines for message in line.messages]
    if messages:
        parts.append("messages")
        values["message_keys"] = [message.key for message in messages]
        values["message_types"] = [message.type for message in messages]
        values["message_bodies"] = [message.body for message in messages]


def _columns(line: Line) -> tuple[Any, ...]:
    part = line.part
    if line.parent is not None and isinstance(part, End):
        return (
            *("tell", line.parent.flow.number, None, None, part.incarnation, None, None, False),
            *(part.flow.number, part.status.value, None, None, None),
            *(encode_parents(part.parents), None, None),
        )
    match part:
        case Append():
            moment = (None, None, None, part.cancels)
            return ("append", None, part.type, part.id, *moment, *NO_END)
        case Suspend():
            moment = (part.incarnation, part.seen, part.due_at, False)
            return ("suspend", part.flow.number, None, None, *moment, *NO_END)
        case Release():
            moment = (part.incarnation, None, None, False)
            return ("release", part.flow.number, None, None, *moment, *NO_END)
        case Acknowledge():
            moment = (part.incarnation, part.inbox, None, False)
            return ("acknowledge", part.flow.number, None, None, *moment, *NO_END)
        case End():
            status = part.status.value
            return (
                *("end", part.flow.number, None, None, part.incarnation, None, None, False),
                *(None, status, part.body, part.type, part.error, encode_parents(part.parents)),
                *(encode_keys(part.failed_at), part.mendable and status == "parked"),
            )
        case _:
            raise AssertionError("such a change goes another way")


_Section = tuple[Callable[[Values, Any, list[str]], None], Callable[[Batch], Sequence[Any]], str]
_SECTIONS: tuple[_Section, ...] = (
    (_add_starts, lambda batch: batch.starts, "starts"),
    (_add_records, lambda batch: batch.records, "records"),
    (_add_states, lambda batch: batch.states, ""),
    (_add_changes, lambda batch: batch.changes, "changes"),
)
