"""Says where None may stand: what the annotation of an argument allows."""

from __future__ import annotations

import types
import typing

from unbroken.model.errors import NotSerializable


def check_none(annotation: object, path: str) -> None:
    """Raise `NotSerializable` if the annotation does not allow None."""
    if not _allows_none(annotation):
        raise NotSerializable(
            "None is not allowed here: pass a value, or annotate `… | None`", path
        )


def _allows_none(annotation: object) -> bool:
    origin = typing.get_origin(annotation)
    if origin in {typing.Union, types.UnionType}:
        return any(map(_allows_none, typing.get_args(annotation)))
    if origin is typing.Annotated:
        return _allows_none(typing.get_args(annotation)[0])
    if origin is typing.Literal:
        return None in typing.get_args(annotation)
    if isinstance(annotation, typing.NewType):
        return _allows_none(annotation.__supertype__)
    if origin is not None:
        return False
    return not isinstance(annotation, type) or _is_none_an(annotation)


def _is_none_an(cls: type[object]) -> bool:
    nothing: typing.Any = None
    try:
        return isinstance(nothing, cls)
    except TypeError:  # a protocol that cannot be asked
        return True
