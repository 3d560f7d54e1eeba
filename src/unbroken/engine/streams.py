"""The ends of a message stream: what they ask for is one effect, and a replay pulls nothing."""

from __future__ import annotations

from typing import Any

import msgspec

from unbroken.engine.consumed import Answer, ranges
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.operators import NOTHING, Pipeline
from unbroken.engine.pulling import End, OperatorFailed, Pull, Stream, hold, read_as
from unbroken.engine.scope import Scope
from unbroken.engine.waits import arrive
from unbroken.model.errors import DeserializationError, StreamEnded
from unbroken.model.records import Effect, Kind
from unbroken.serialization.serializer import Payload


async def answer_of(scope: Scope, key: str, stream: Stream, end: End) -> Any:
    """Wait for what an end asks for, record it, and give it as every replay will.

    Raises StreamEnded, or what an operator raised.
    """
    incarnation = scope.incarnation
    await arrive(scope, key)
    effect = incarnation.recorded(key, Kind.STREAM)
    if effect is not None:
        return _replayed(incarnation, effect)
    pull = Pull(scope, key, stream, Pipeline(stream.operators))
    try:
        await pull.until(end, marks=True)
        value = _chosen(pull.found, end)
        round_trip = incarnation.services.serializer.round_trip_untyped
        kept = None if value is NOTHING else pull.operators.run(round_trip, value, key=key)
    except OperatorFailed as failure:
        raise await pull.fail(failure.error) from failure.error
    except BaseException:
        pull.give_back()
        raise
    taken = ranges(message.position for message in pull.taken)
    if kept is None:
        await pull.record(Answer(taken))
        raise incarnation.blame(key, _ended(key))
    payload, value = kept
    await pull.record(Answer(taken, msgspec.Raw(payload.body.encode())), payload.type)
    return value


def _chosen(found: list[object], end: End) -> object:
    """Give the answer, or NOTHING if the stream ended without one."""
    if end is End.COMPLETION:
        return found
    if not found:
        return None if end is End.FIRST_OR_NONE else NOTHING
    return found[-1]


def _replayed(incarnation: Incarnation, effect: Effect) -> object:
    serializer = incarnation.services.serializer
    if effect.failed:
        raise incarnation.blame(effect.key, serializer.rebuild_exception(effect.body))
    answer = read_as(incarnation, effect, Answer, "an answer of a stream")
    hold(incarnation, effect)
    body = bytes(answer.value).decode()
    if not body:
        raise incarnation.blame(effect.key, _ended(effect.key))
    try:
        return serializer.decode(Payload(effect.type, body))
    except DeserializationError as error:
        raise incarnation.park(error) from None


def _ended(key: str) -> StreamEnded:
    return StreamEnded(f"{key}: the stream ended and nothing reached its end: use first_or_none()")
