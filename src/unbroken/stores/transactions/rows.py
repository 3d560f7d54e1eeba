"""Rows of the database as records, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from unbroken.model.records import Effect, FlowRef, Message, Outcome, Parent, Reply, Status
from unbroken.stores.store import FlowView
from unbroken.stores.transactions.transaction import DamagedRow, Row

NO_PARENTS = "[]"
NO_KEYS = "[]"

LAST_CHARACTER = "\U0010ffff"
# Code points that no text may hold; UTF-8 has no bytes for them.
FIRST_SURROGATE, AFTER_SURROGATES = 0xD800, 0xE000

_encoder = msgspec.json.Encoder()
_parents = msgspec.json.Decoder(tuple[tuple[int, str, str, str], ...])
_keys = msgspec.json.Decoder(tuple[str, ...])

# Who stands so has told its parents nothing.
UNTOLD = (Status.LIVE.value, Status.PARKED.value)
# The error, in the stored form of an exception, of a flow parked because a row makes no sense.
UNREADABLE = '{"type":"StoreCorrupt","message":"a stored row of this flow cannot be read"}'


def json(values: Iterable[object]) -> str:
    """Encode a list."""
    return _encoder.encode(list(values)).decode()


def end_of(prefix: str) -> str | None:
    """Give the first text in binary order that does not begin with the prefix, if there is one."""
    stem = prefix.rstrip(LAST_CHARACTER)
    if not stem:
        return None
    last = ord(stem[-1]) + 1
    return stem[:-1] + chr(AFTER_SURROGATES if last == FIRST_SURROGATE else last)


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


def encode_keys(keys: Sequence[str]) -> str:
    """Write keys as the text of their column."""
    return json(keys) if keys else NO_KEYS


def decode_keys(text: str) -> tuple[str, ...]:
    """Read the column of keys; raises DamagedRow."""
    try:
        return _keys.decode(text)
    except msgspec.MsgspecError as error:
        raise DamagedRow("the keys at which a flow failed") from error


def to_outcome(row: Row) -> Outcome:
    """Read number, type, id, status, result, result_type, error; raises DamagedRow."""
    number, type_, id_, status, result, result_type, error = row
    return Outcome(FlowRef(number, type_, id_), _status(status), result, result_type, error)


def to_effect(row: Row) -> Effect:
    """Read flow, key, kind, body, type, failed, digest, incarnation."""
    _, key, kind, body, type_, failed, digest, incarnation = row
    return Effect(key, kind, body, type_, failed == 1, digest, incarnation)


def to_message(row: Sequence[Any]) -> Message:
    """Read flow, position, key, type, body, sent_at."""
    return Message(*row[1:])


def to_view(row: Row) -> FlowView:
    """Read the columns of `view`; raises DamagedRow."""
    number, type_, id_, status, *rest, cancel, failures, code, error, parents = row
    return FlowView(
        FlowRef(number, type_, id_),
        _status(status),
        *rest,
        cancel=cancel == 1,
        failures=failures,
        code=code,
        error=error,
        parents=decode_parents(parents),
    )


def to_reply(row: Row) -> Reply:
    """Read reply, reply_type, reply_failed."""
    body, type_, failed = row
    return Reply(body, type_, failed == 1)


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise DamagedRow("the status of a flow") from None
