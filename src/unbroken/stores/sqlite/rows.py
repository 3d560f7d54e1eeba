"""Rows of the database as records, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from unbroken.model.records import Effect, FlowRef, Message, Outcome, Parent, Status
from unbroken.stores.sqlite.faults import DamagedRow
from unbroken.stores.store import FlowView

Row = tuple[Any, ...]

NO_PARENTS = "[]"

_encoder = msgspec.json.Encoder()
_parents = msgspec.json.Decoder(tuple[tuple[int, str, str, str], ...])


# The error, in the stored form of an exception, of a flow parked because a row makes no sense.
UNREADABLE = '{"type":"StoreCorrupt","message":"a stored row of this flow cannot be read"}'


def json(values: Iterable[object]) -> str:
    """Encode a list for `json_each`."""
    return _encoder.encode(list(values)).decode()


def encode_parents(parents: Sequence[Parent]) -> str:
    """Write parents as the text of their column."""
    if not parents:
        return NO_PARENTS
    return json((p.flow.number, p.flow.type, p.flow.id, p.key) for p in parents)


def decode_parents(text: str) -> tuple[Parent, ...]:
    """Read the column of parents; raises DamagedRow."""
    if text == NO_PARENTS:
        return ()
    try:
        parents = _parents.decode(text)
    except msgspec.MsgspecError as error:
        raise DamagedRow("the parents of a flow") from error
    return tuple(Parent(FlowRef(number, type_, id_), key) for number, type_, id_, key in parents)


def to_outcome(row: Row) -> Outcome:
    """Read number, type, id, status, result, result_type, error; raises DamagedRow."""
    number, type_, id_, status, result, result_type, error = row
    return Outcome(FlowRef(number, type_, id_), _status(status), result, result_type, error)


def to_effect(row: Row) -> Effect:
    """Read flow, key, kind, body, type, failed, digest, incarnation."""
    _, key, kind, body, type_, failed, digest, incarnation = row
    return Effect(key, kind, body, type_, failed == 1, digest, incarnation)


def to_message(row: Row) -> Message:
    """Read flow, position, key, type, body, sent_at."""
    return Message(*row[1:])


def to_view(row: Row) -> FlowView:
    """Read the columns of `view`; raises DamagedRow."""
    number, type_, id_, status, *rest = row
    return FlowView(FlowRef(number, type_, id_), _status(status), *rest)


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise DamagedRow("the status of a flow") from None
