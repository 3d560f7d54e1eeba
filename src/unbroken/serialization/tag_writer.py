"""Values that their annotation does not restore: each is written with the name of its type.

A tagged value is a JSON object whose first key is `$`, the stored type name; the others hold the
contents:

    of            what the type's own annotation restores
    fields        a data class, field by field; `set`, `extra`, `private` complete a pydantic model
    items         members of a container; pairs for a dict
    name          a member of an enum
    text          a scalar that no JSON type fits
    args, state   an exception

Below `of` and in a field the annotation rules again; elsewhere JSON's own types stand bare and
everything else is tagged.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Final, cast

import msgspec

from unbroken.model.errors import NotSerializable

from .classes import Shape
from .comparison import place_of
from .guard import MAX_DEPTH
from .known import Known, type_name
from .native import Kept, Native
from .pydantic_models import take_model_apart
from .raised import take_apart
from .refusals import advice, is_bare
from .scalars import SCALARS

RESERVED: Final = "$"

_BARE: Final = frozenset({str, int, bool, type(None), float})
_SEQUENCES: Final = frozenset({list, tuple, set, frozenset})


class TagWriter:
    """Writes tagged values; raises `NotSerializable` with the path."""

    def __init__(self, known: Known, native: Native) -> None:
        self._known = known
        self._native = native

    def write(
        self, value: object, path: str = "$", depth: int = 0, *, tried: object = None
    ) -> bytes:
        """Write a value with the name of its type; `tried` annotations are known not to suffice."""
        if depth > MAX_DEPTH:
            raise NotSerializable(
                f"nested deeper than {MAX_DEPTH} levels, or holds itself: keep its parts apart",
                path,
            )
        cls = type(value)
        name = type_name(cls)
        if not self._known.is_findable(cls):
            raise NotSerializable(advice(value), path)
        kept = None if tried is cls else self._native.attempt(value, self._native.plan(cls))
        if isinstance(kept, Kept):
            return self._native.encode({RESERVED: name, "of": msgspec.Raw(kept.body)})
        contents = self._contents(value, cls, path, depth)
        if contents is None:
            raise NotSerializable(advice(value), path)
        return self._native.encode({RESERVED: name, **contents})

    def write_position(
        self, value: object, annotation: object, path: str, depth: int = 0
    ) -> msgspec.Raw:
        """Write a value under an annotation: by that alone if it suffices, else tagged."""
        kept = self._native.attempt(value, self._native.plan(annotation))
        if isinstance(kept, Kept):
            return msgspec.Raw(kept.body)
        return msgspec.Raw(self.write(value, path, depth, tried=annotation))

    def write_bare(self, value: object, path: str, depth: int = 0) -> object:
        """Write a value where no annotation stands: JSON's own types bare, all others tagged."""
        cls = type(value)
        if cls in _BARE:
            if is_bare(value):
                return value
            raise NotSerializable(advice(value), path)
        if depth <= MAX_DEPTH:
            if cls is list:
                return self._members(cast("list[object]", value), path, depth)
            if cls is dict and _has_plain_keys(pairs := cast("dict[object, object]", value)):
                return self._named(cast("dict[str, object]", pairs), path, depth)
        return msgspec.Raw(self.write(value, path, depth))

    def _contents(
        self, value: object, cls: type[object], path: str, depth: int
    ) -> dict[str, object] | None:
        if cls in _SEQUENCES:
            return {"items": self._members(cast("Iterable[object]", value), path, depth)}
        if cls is dict:
            return {"items": self._pairs(cast("dict[object, object]", value), path, depth)}
        if isinstance(value, enum.Enum):
            name = value._name_
            return {"name": name} if type(value).__members__.get(name) is value else None
        if isinstance(value, BaseException):
            args, state = take_apart(value)
            return {
                "args": self._members(args, f"{path}.args", depth),
                "state": self._named(state, path, depth),
            }
        if cls in SCALARS:
            return {"text": SCALARS[cls].write(value)}
        shape = self._known.shape(cls)
        return None if shape is None else self._class_contents(value, shape, path, depth)

    def _class_contents(
        self, value: object, shape: Shape, path: str, depth: int
    ) -> dict[str, object]:
        fields: dict[str, object] = {}
        for field in shape.fields:
            place = f"{path}.{field.name}"
            try:
                held = getattr(value, field.name)
            except AttributeError:
                raise NotSerializable("the field was never set", place) from None
            fields[field.name] = self.write_position(held, field.annotation, place, depth + 1)
        if shape.kind != "pydantic":
            return {"fields": fields}
        state = take_model_apart(value)
        contents: dict[str, object] = {"fields": fields, "set": sorted(state.fields_set)}
        if state.extra is not None:
            contents["extra"] = self._named(state.extra, path, depth)
        if state.private is not None:
            contents["private"] = self._named(state.private, path, depth)
        return contents

    def _members(self, members: Iterable[object], path: str, depth: int) -> list[object]:
        return [
            self.write_bare(member, f"{path}[{index}]", depth + 1)
            for index, member in enumerate(members)
        ]

    def _named(self, values: Mapping[str, object], path: str, depth: int) -> dict[str, object]:
        return {
            name: self.write_bare(value, path + place_of(name), depth + 1)
            for name, value in values.items()
        }

    def _pairs(
        self, pairs: Mapping[object, object], path: str, depth: int
    ) -> list[tuple[object, object]]:
        return [
            (
                self.write_bare(key, path + place_of(key), depth + 1),
                self.write_bare(value, path + place_of(key), depth + 1),
            )
            for key, value in pairs.items()
        ]


def _has_plain_keys(pairs: Mapping[object, object]) -> bool:
    return all(type(key) is str and not key.startswith(RESERVED) and is_bare(key) for key in pairs)
