"""Values that leave a flow for whoever asks: states and answers, read as the class they expect."""

from __future__ import annotations

import types
import typing
from typing import TypeVar, cast

from unbroken.model.errors import DeserializationError
from unbroken.serialization.serializer import Payload, Serializer

T = TypeVar("T")


def to_payload(serializer: Serializer, value: object, what: str) -> Payload:
    """Encode a value with the name of its class; builtins are read by the annotation alone.

    Raises the SerializationError family.
    """
    cls = type(value)
    payload, _ = serializer.round_trip(value, cls, key=what)
    if payload.type is None and cls.__module__ != "builtins":
        return Payload(serializer.type_name(cls), payload.body)
    return payload


def as_class(serializer: Serializer, payload: Payload, cls: type[T]) -> T:
    """Decode such a value. Raises DeserializationError if it is of another class."""
    value = serializer.decode(payload, cls)
    if payload.type is not None and not _is_a(value, typing.get_origin(cls) or cls):
        found, name = serializer.type_name(type(value)), serializer.type_name(cls)
        raise DeserializationError(
            f"expected {name}, found {found}: ask for the class that the flow gave",
            expected=name,
            found=found,
        )
    return cast("T", value)


def _is_a(value: object, cls: type[object]) -> bool:
    try:
        return isinstance(value, cls)
    except TypeError:  # a TypedDict, or a protocol: no value with a class of its own is one
        return False


def check_class(cls: object, what: str) -> None:
    """Raise TypeError for what is no class: an instance, a name, a union."""
    origin = typing.get_origin(cls) or cls
    if not isinstance(origin, type) or origin is types.UnionType:
        raise TypeError(f"{what} takes the class that the flow gives, not {cls!r}")
