"""`InitialState`: what a flow finds before its first line runs.

An initial effect is stored by the type of its value, so that whatever reads it gets what was given,
annotated or not. It belongs to no incarnation: a flow that finds it is not replayed because of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from unbroken.engine.services import Services
from unbroken.flows.messages import encode_message
from unbroken.model.errors import UsageError
from unbroken.model.ids import check_id, check_name
from unbroken.model.records import Effect, Kind
from unbroken.stores.batch import NewMessage


class InitialMessage(msgspec.Struct, frozen=True):
    """A message of an initial state with its idempotency key."""

    message: object
    key: str | None = None


class InitialState(msgspec.Struct, frozen=True):
    """Effects and messages that exist before the first line of a flow runs.

    `effects`: results by name; a capture of that name gives them and runs nothing. `failed`: errors
    that a capture of that name raises. `started`: at-most-once effects that count as begun, so they
    refuse with EffectInterrupted. `messages`: in the inbox already, in order; one with a key of its
    own is an `InitialMessage`, and of equal keys only the first one counts. An id that exists
    already is attached to, and its initial state is ignored. Raises InvalidId for a name that no
    effect can have, UsageError for a name that is given twice, TypeError for what is no list,
    mapping or exception.
    """

    effects: Mapping[str, object] = {}
    failed: Mapping[str, Exception] = {}
    started: Sequence[str] = ()
    messages: Sequence[object] = ()

    def __post_init__(self) -> None:
        _check_shape("effects", self.effects, Mapping, "a dict of results by name")
        _check_shape("failed", self.failed, Mapping, "a dict of exceptions by name")
        _check_shape("started", self.started, Sequence, "a list of names")
        _check_shape("messages", self.messages, Sequence, "a list of messages")
        named: set[str] = set()
        for name in (*self.effects, *self.failed, *self.started):
            check_name(name, "name of an initial effect")
            if name in named:
                raise UsageError(
                    f"the initial effect {name!r} is given twice: either its result in effects, "
                    "or its error in failed, or that it was begun in started"
                )
            named.add(name)
        for name, error in self.failed.items():
            if not _is_exception(error):
                raise TypeError(f"failed={{{name!r}: …}}: give an exception, ready to be raised")
        for one in self.messages:
            if isinstance(one, InitialMessage) and one.key is not None:
                check_id(one.key, "message key")


def encode_initial(
    initial: InitialState, services: Services
) -> tuple[tuple[Effect, ...], tuple[NewMessage, ...]]:
    """Give effects and messages as they are stored. Raises the SerializationError family."""
    messages = (_keyed(message) for message in initial.messages)
    return (
        tuple(_effects(initial, services)),
        tuple(encode_message(services, one.message, one.key) for one in messages),
    )


def _effects(initial: InitialState, services: Services) -> Iterator[Effect]:
    serializer = services.serializer
    for name, value in initial.effects.items():
        payload = serializer.encode_as_is(value, key=name)
        yield Effect(name, Kind.CAPTURE, payload.body, payload.type)
    for name, error in initial.failed.items():
        yield Effect(name, Kind.CAPTURE, serializer.encode_exception(error), failed=True)
    for name in initial.started:
        yield Effect(f"{name}.begun", Kind.BEGUN, "null")


def _keyed(message: object) -> InitialMessage:
    return message if isinstance(message, InitialMessage) else InitialMessage(message)


def _is_exception(error: object) -> bool:
    return isinstance(error, Exception)


def _check_shape(field: str, value: Any, shape: type[Any], wanted: str) -> None:
    """Refuse what would be taken apart wrongly: a text is a sequence too."""
    if not isinstance(value, shape) or isinstance(value, (str, bytes)):
        raise TypeError(f"InitialState({field}=…): give {wanted}, not {type(value).__name__}")
