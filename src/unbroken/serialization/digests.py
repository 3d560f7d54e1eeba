"""A cheap number for the arguments of a call, equal in every process and under every hash seed."""

from __future__ import annotations

import enum
import zlib
from collections.abc import Iterable, Mapping
from typing import cast

import msgspec

from .guard import MAX_DEPTH
from .known import Known, type_name
from .native import Native


class Digests:
    """Computes digests of arguments."""

    def __init__(self, known: Known, native: Native) -> None:
        self._known = known
        self._encode = native.encode
        self._encode_ordered = native.encode_ordered

    def digest(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> int | None:
        """Give a number that equal arguments share; `None` if some have no form; 0 without any."""
        if not args and not kwargs:
            return 0
        call = (args, kwargs) if kwargs else args
        try:
            body = self._encode_ordered(call)
        except Exception:  # noqa: BLE001 - arguments may be anything, encodable or not
            return self._slowly(call)
        return zlib.crc32(body)

    def _slowly(self, call: object) -> int | None:
        try:
            body = self._encode(self._ordered(call, 0))
        except Exception:  # noqa: BLE001 - likewise
            return None
        return zlib.crc32(body)

    def _ordered(self, value: object, depth: int) -> object:
        """Give an encodable value that has no order of chance: the fast encoder wants str keys."""
        if depth > MAX_DEPTH:
            raise RecursionError
        below = depth + 1
        cls = type(value)
        if cls is list or cls is tuple:
            members = cast("Iterable[object]", value)
            return [self._ordered(member, below) for member in members]
        if cls is set or cls is frozenset:
            members = cast("Iterable[object]", value)
            return sorted(self._text(member, below) for member in members)
        if cls is dict:
            pairs = cast("Mapping[object, object]", value)
            return sorted(
                (self._text(key, below), self._text(member, below)) for key, member in pairs.items()
            )
        if isinstance(value, enum.Enum):
            return [type_name(cls), value._name_]
        shape = self._known.shape(cls)
        if shape is None:
            return msgspec.Raw(self._encode(value))
        fields = {name: self._ordered(getattr(value, name), below) for name, *_ in shape.fields}
        return [type_name(cls), fields]

    def _text(self, value: object, depth: int) -> str:
        return self._encode(self._ordered(value, depth)).decode()
