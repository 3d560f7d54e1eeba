"""Whether a value came back as it was: same type and same value, at every depth.

Stricter than `==`: 1, 1.0 and True differ, so do 0.0 and -0.0, `1.0` and `1.00` as Decimal, and
fields that a class leaves out of its own comparison. Only a time zone may become its offset.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from operator import attrgetter, itemgetter
from typing import Any, Final, NamedTuple, TypeAlias, cast
from uuid import UUID

from .classes import kind_of, shape_of
from .known import type_name

_EXACT: Final = frozenset({str, int, bool, type(None), bytes, UUID, date, timedelta, bytearray})
_MISSING: Final = object()
_SHOWN_KEY: Final = 40
_SPLITS_LIMIT: Final = 64


class Difference(NamedTuple):
    """Where two values differ first, and how; the path is relative: `.lines[2].price`."""

    path: str
    reason: str

    def below(self, place: str) -> Difference:
        """Put a place in front of the path."""
        return Difference(place + self.path, self.reason)


Comparer: TypeAlias = Callable[[Any, Any], Difference | None]
Split: TypeAlias = tuple[Callable[[tuple[object, ...]], object], list[int]]
"""How to compare fields of certain types: those with an exact `==` at once, the others singly."""

CHANGED: Final = Difference("", "the value changed")


def place_of(key: object) -> str:
    """Show a key as part of a path; only keys that look like names are shown."""
    if type(key) is str and len(key) <= _SHOWN_KEY and key.isidentifier():
        return f"[{key!r}]"
    return "[...]"


class Comparison:
    """Compares values of any class; what is known of each class is worked out once."""

    def __init__(self) -> None:
        self._comparers: dict[type, Comparer] = {
            **dict.fromkeys(_EXACT, _by_equality),
            float: _floats,
            Decimal: _decimals,
            datetime: _moments,
            time: _moments,
            list: self._sequences,
            tuple: self._sequences,
            dict: self._dicts,
            set: self._sets,
            frozenset: self._sets,
        }

    def difference(self, before: object, after: object) -> Difference | None:
        """Find the first difference, or `None` if nothing was lost."""
        cls = type(before)
        if cls is not type(after):
            return Difference("", f"{type_name(cls)} became {type_name(type(after))}")
        comparer = self._comparers.get(cls)
        if comparer is None:
            comparer = self._comparers[cls] = self._compile(cls)
        return comparer(before, after)

    def _sequences(self, before: Iterable[object], after: Iterable[object]) -> Difference | None:
        if len(cast("list[object]", before)) != len(cast("list[object]", after)):
            return Difference("", "the length changed")
        for index, (left, right) in enumerate(zip(before, after, strict=True)):
            if left is not right and (found := self.difference(left, right)):
                return found.below(f"[{index}]")
        return None

    def _dicts(
        self, before: dict[object, object], after: dict[object, object]
    ) -> Difference | None:
        if len(before) != len(after):
            return Difference("", "keys were lost")
        # Order is part of a dict's value here: JSON keeps it.
        for (key, left), (other, right) in zip(before.items(), after.items(), strict=True):
            if key is not other and (found := self.difference(key, other)):
                return Difference(place_of(key), f"the key changed: {found.reason}")
            if left is not right and (found := self.difference(left, right)):
                return found.below(place_of(key))
        return None

    def _sets(self, before: Iterable[object], after: Iterable[object]) -> Difference | None:
        members = {member: member for member in after}
        if len(cast("set[object]", before)) != len(members):
            return Difference("", "the number of members changed")
        for left in before:
            right = members.get(left, _MISSING)
            if right is _MISSING:
                return Difference("", "a member was lost")
            if left is not right and (found := self.difference(left, right)):
                return Difference("", f"a member changed: {found.reason}")
        return None

    def _compile(self, cls: type[object]) -> Comparer:
        if issubclass(cls, enum.Enum):
            return _by_equality
        if issubclass(cls, BaseException):
            return self._exceptions
        kind = kind_of(cls)
        if kind == "named tuple":
            return self._sequences
        if kind == "pydantic":
            return self._models
        shape = shape_of(cls)
        if shape is None:
            return _by_equality
        names = tuple(field.name for field in shape.fields)
        by_fields = self._by_fields(names)
        if dataclasses.is_dataclass(cls) and "__dataclass_fields__" not in vars(cls):
            return self._with_attributes(by_fields)
        return by_fields

    def _by_fields(self, names: tuple[str, ...]) -> Comparer:
        if not names:
            return lambda _before, _after: None
        values_of = _values_of(names)
        splits: dict[tuple[type, ...], Split] = {}

        def compare(before: object, after: object) -> Difference | None:
            left, right = values_of(before), values_of(after)
            types = (*map(type, left),)
            split = splits.get(types)
            if split is None:
                split = _split(types)
                if len(splits) < _SPLITS_LIMIT:
                    splits[types] = split
            exact, others = split
            if types == (*map(type, right),) and exact(left) == exact(right):
                remaining = others
            else:
                remaining = range(len(names))
            for index in remaining:
                one, other = left[index], right[index]
                if one is not other and (found := self.difference(one, other)):
                    return found.below(f".{names[index]}")
            return None

        return compare

    def _with_attributes(self, by_fields: Comparer) -> Comparer:
        # A subclass without the decorator keeps attributes that are no fields.
        def compare(before: object, after: object) -> Difference | None:
            if set(vars(before)) != set(vars(after)):
                return Difference("", "attributes that are no fields were lost")
            return by_fields(before, after)

        return compare

    def _models(self, before: object, after: object) -> Difference | None:
        for part in ("__dict__", "__pydantic_extra__", "__pydantic_private__"):
            left, right = getattr(before, part), getattr(after, part)
            found = self.difference(_sorted(left), _sorted(right))
            if found:
                return found
        name = "__pydantic_fields_set__"
        if getattr(before, name) != getattr(after, name):
            return Difference("", "the set of fields that were set changed")
        return None

    def _exceptions(self, before: BaseException, after: BaseException) -> Difference | None:
        found = self.difference(before.args, after.args)
        if found:
            return found.below(".args")
        return None if str(before) == str(after) else CHANGED


def _sorted(values: dict[str, object] | None) -> object:
    return None if values is None else dict(sorted(values.items()))


def _split(types: tuple[type, ...]) -> Split:
    exact = [index for index, cls in enumerate(types) if cls in _EXACT]
    others = [index for index, cls in enumerate(types) if cls not in _EXACT]
    return (itemgetter(*exact) if exact else _nothing), others


def _nothing(_values: object) -> None:
    return None


def _values_of(names: tuple[str, ...]) -> Callable[[object], tuple[object, ...]]:
    get = attrgetter(*names)
    if len(names) > 1:
        return get
    return lambda instance: (get(instance),)


def _by_equality(before: object, after: object) -> Difference | None:
    return None if before is after or before == after else CHANGED


def _floats(before: float, after: float) -> Difference | None:
    if before == after and (before or math.copysign(1, before) == math.copysign(1, after)):
        return None
    return CHANGED


def _decimals(before: Decimal, after: Decimal) -> Difference | None:
    return None if str(before) == str(after) else CHANGED


def _moments(before: datetime | time, after: datetime | time) -> Difference | None:
    """Compare the clock on the wall and its offset: instants alone would hide a changed wall."""
    if (before.tzinfo is None) != (after.tzinfo is None):
        return Difference("", "the time zone was lost")
    if before.tzinfo is None:
        return None if before == after and before.fold == after.fold else CHANGED
    same = before.utcoffset() == after.utcoffset()
    return None if same and before.replace(tzinfo=None) == after.replace(tzinfo=None) else CHANGED
