"""Tagged values, read back: the stored name is looked up, the contents are read by its kind."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from unbroken.model.errors import DeserializationError

from .classes import Field, build
from .known import Known
from .misfits import misfit, show
from .native import TAG, Native
from .pydantic_models import ModelState, build_model
from .raised import put_together
from .scalars import SCALARS

Parts: TypeAlias = dict[str, msgspec.Raw]

_CONTAINERS: Final[Mapping[type, Callable[[Any], object]]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    dict: dict,
}


class TagReader:
    """Reads tagged values; raises `DeserializationError` with the path."""

    def __init__(self, known: Known, native: Native) -> None:
        self._known = known
        self._native = native
        self._read_parts = msgspec.json.Decoder(Parts).decode
        self._read_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
        self._read_pairs = msgspec.json.Decoder(list[tuple[msgspec.Raw, msgspec.Raw]]).decode
        self._read_names = msgspec.json.Decoder(set[str]).decode
        self._read_text = msgspec.json.Decoder(str).decode
        self._read_plain = msgspec.json.Decoder().decode

    def read(self, body: str | bytes | msgspec.Raw, path: str = "$") -> object:
        """Read one tagged value."""
        cls: type | None = None
        try:
            parts = self._read_parts(body)
            name = self._read_text(parts["$"])
            cls = self.find(name, path)
            return self._contents(cls, parts, path)
        except Exception as error:  # noqa: BLE001 - stored data and users' classes may do anything
            raise misfit(error, cls, path) from None

    def find(self, name: str, path: str) -> type:
        """Find the class of a stored name."""
        cls = self._known.find_anywhere(name)
        if cls is not None:
            return cls
        raise DeserializationError(
            f"no known or loaded class is named {name!r}: import its module before the app starts, "
            "or name the class that replaced it with `alias`",
            path,
            expected=name,
            found="no class of that name",
        )

    def read_position(self, body: msgspec.Raw, annotation: object, path: str) -> object:
        """Read a value under an annotation, tagged or not."""
        if is_tagged(body):
            return self.read(body, path)
        return self._native.decode(body, self._native.plan(annotation), path)

    def read_bare(self, body: msgspec.Raw, path: str) -> object:
        """Read a value where no annotation stands."""
        raw = bytes(body)
        if raw.startswith(TAG):
            return self.read(body, path)
        if TAG not in raw:
            return self._read_plain(raw)
        if raw.startswith(b"["):
            return self._members(body, path)
        return self._named(self._read_parts(raw), path)

    def _contents(self, cls: type[object], parts: Parts, path: str) -> object:
        match parts:
            case {"of": body}:
                return self._native.decode(body, self._native.plan(cls), path)
            case {"fields": body}:
                return self._class_contents(cls, self._read_parts(body), parts, path)
            case {"items": body} if cls is dict:
                return {
                    self.read_bare(key, f"{path}[...]"): self.read_bare(value, f"{path}[...]")
                    for key, value in self._read_pairs(body)
                }
            case {"items": body} if cls in _CONTAINERS:
                return _CONTAINERS[cls](self._members(body, path))
            case {"name": body} if issubclass(cls, enum.Enum):
                return cls[self._read_text(body)]
            case {"text": body} if cls in SCALARS:
                return SCALARS[cls].read(self._read_text(body))
            case {"args": args, "state": state} if issubclass(cls, BaseException):
                return put_together(
                    cls,
                    tuple(self._members(args, f"{path}.args")),
                    self._named(self._read_parts(state), path),
                )
            case _:
                raise DeserializationError("a tagged value without contents for its type", path)

    def _class_contents(self, cls: type[object], fields: Parts, parts: Parts, path: str) -> object:
        shape = self._known.shape(cls)
        if shape is None:
            raise DeserializationError(f"{show(cls)} is no data class any more", path)
        values = {
            field.name: value
            for field in shape.fields
            if (value := self._field(field, fields, path)) is not msgspec.UNSET
        }
        if shape.kind != "pydantic":
            return build(cls, shape.kind, values)
        extra, private = parts.get("extra"), parts.get("private")
        return build_model(
            cls,
            ModelState(
                values,
                frozenset(self._read_names(parts["set"])),
                None if extra is None else self._named(self._read_parts(extra), path),
                None if private is None else self._named(self._read_parts(private), path),
            ),
        )

    def _field(self, field: Field, fields: Parts, path: str) -> object:
        place = f"{path}.{field.name}"
        if field.name in fields:
            return self.read_position(fields[field.name], field.annotation, place)
        if field.default is not None:
            return field.default()
        if field.derived:
            return msgspec.UNSET
        raise DeserializationError(
            f"expected a value, found nothing: give the field `{field.name}` a default",
            place,
            expected="a value",
            found="nothing",
        )

    def _members(self, body: msgspec.Raw | bytes, path: str) -> list[object]:
        return [
            self.read_bare(member, f"{path}[{index}]")
            for index, member in enumerate(self._read_list(body))
        ]

    def _named(self, parts: Parts, path: str) -> dict[str, object]:
        return {name: self.read_bare(body, f"{path}[...]") for name, body in parts.items()}


def is_tagged(body: msgspec.Raw) -> bool:
    """Say whether a body names its own type."""
    return bytes(body).startswith(TAG)
