"""Which numbers flows get is a store's own affair: a sequence that is written down has its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from tests.stores.differential.steps import Amend, Load, Look, Page, Request, Wait
from unbroken.model.records import Effect, FlowRef
from unbroken.stores.batch import Publish, Record
from unbroken.stores.store import Amendment, Question

T = TypeVar("T")

# What no store has come to, for flows that it does not know.
UNKNOWN = 1 << 50
NUMBERED = {FlowRef: "number", Record: "flow", Publish: "flow", Question: "flow"}
WITHOUT_NUMBERS = (Effect, Amendment)


class Numbers:
    """The numbers of a sequence beside those that a store gave."""

    def __init__(self) -> None:
        self._theirs: dict[int, int] = {0: 0}
        self._ours: dict[int, int] = {0: 0}

    def learn(self, ours: int, theirs: int) -> None:
        """Remember under which number the store keeps a flow."""
        self._theirs[ours] = theirs
        self._ours[theirs] = ours

    def for_store(self, what: Request) -> Request:
        """Write a request of the sequence with the store's numbers."""
        return renumber(what, lambda number: self._theirs.get(number, UNKNOWN + number))

    def for_sequence(self, what: T) -> T:
        """Write a request with the numbers of the sequence."""
        return renumber(what, lambda number: self._ours.get(number, number))


def renumber(what: T, number_of: Callable[[int], int]) -> T:
    """Write a request with other numbers of flows."""
    match what:
        case Wait():
            return what
        case Amend(flow=flow):
            return replace(what, flow=number_of(flow))
        case Page(after=after):
            return replace(what, after=number_of(after))
        case Load(numbers=numbers):
            return replace(what, numbers=tuple(map(number_of, numbers)))
        case Look(awaited=awaited, asked=asked):
            others = tuple(map(number_of, awaited))
            return replace(what, awaited=others, asked=_rebuild(asked, number_of))
        case _:
            return cast("T", _rebuild(what, number_of))


def _rebuild(value: Any, number_of: Callable[[int], int]) -> Any:
    """Rebuild a value with other numbers wherever a flow's number stands."""
    kind: type[Any] = type(value)
    if kind is tuple:
        return tuple(_rebuild(one, number_of) for one in value)
    if not isinstance(value, msgspec.Struct) or isinstance(value, WITHOUT_NUMBERS):
        return value
    changed = {name: _rebuild(getattr(value, name), number_of) for name in value.__struct_fields__}
    if name := NUMBERED.get(kind):
        changed[name] = number_of(getattr(value, name))
    return kind(**changed)
