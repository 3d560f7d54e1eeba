"""What the operators of a message stream do to its values. Pure: no waiting, no journal.

A pipeline is fed one value after the other. Each stage answers a value with one or with nothing,
also when the stream ends: an unfinished chunk leaves only in place of a value. So a pipeline, too,
answers each value, and its end, with at most one.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Coroutine, Hashable, Sequence
from typing import Any, Final

import msgspec

from unbroken.model.errors import UsageError

NOTHING: Final = object()


class Stage:
    """One operator at its task: it may remember what went through it."""

    __slots__ = ("is_complete",)

    def __init__(self) -> None:
        self.is_complete = False

    def feed(self, value: Any) -> object:
        """Give what comes of a value, or NOTHING."""
        raise NotImplementedError

    def last(self, value: object) -> object:
        """Give what comes of the last value, which may be NOTHING, and of what was left."""
        return value if value is NOTHING else self.feed(value)


class Operator(msgspec.Struct, frozen=True):
    """How to make a stage. `selects`: it only lets values through or not; `ends`: it may end it."""

    begin: Callable[[], Stage]
    selects: bool = False
    ends: bool = False


class Pipeline:
    """The stages of one stream, from its source to its end."""

    __slots__ = ("_stages", "is_complete")

    def __init__(self, operators: Sequence[Operator]) -> None:
        self._stages = [operator.begin() for operator in operators]
        self.is_complete = False

    def feed(self, value: object) -> object:
        """Give what reaches the end because of a value, or NOTHING."""
        for index, stage in enumerate(self._stages):
            value = stage.feed(value)
            if stage.is_complete:
                return self._end(index + 1, value)
            if value is NOTHING:
                return NOTHING
        return value

    def finish(self) -> object:
        """No value follows: give what reaches the end because of that, or NOTHING."""
        return self._end(0, NOTHING)

    def _end(self, begin: int, value: object) -> object:
        self.is_complete = True
        for stage in self._stages[begin:]:
            value = stage.last(value)
        return value


class OfTypes(Stage):
    """Lets objects of some classes through."""

    __slots__ = ("_types",)

    def __init__(self, types: tuple[type[Any], ...]) -> None:
        super().__init__()
        self._types = types

    def feed(self, value: Any) -> object:
        """Give the value if it is of one of the classes."""
        return value if isinstance(value, self._types) else NOTHING


class Where(Stage):
    """Lets values through that a predicate takes."""

    __slots__ = ("_predicate",)

    def __init__(self, predicate: Callable[[Any], object]) -> None:
        super().__init__()
        self._predicate = predicate

    def feed(self, value: Any) -> object:
        """Give the value if the predicate takes it."""
        return value if plain(self._predicate(value), "where") else NOTHING


class Map(Stage):
    """Makes something else of each value."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[Any], object]) -> None:
        super().__init__()
        self._function = function

    def feed(self, value: Any) -> object:
        """Give what the function makes of the value."""
        return plain(self._function(value), "map")


class Scan(Stage):
    """Gives what has come together so far, after each value."""

    __slots__ = ("_function", "_total")

    def __init__(self, initial: object, function: Callable[[Any, Any], object]) -> None:
        super().__init__()
        self._function = function
        self._total = copy.deepcopy(initial)  # each use of a description begins with its own

    def feed(self, value: Any) -> object:
        """Give the new total."""
        self._total = plain(self._function(self._total, value), "scan")
        return self._total


class Take(Stage):
    """Ends the stream with the nth value."""

    __slots__ = ("_left",)

    def __init__(self, count: int) -> None:
        super().__init__()
        self._left = count

    def feed(self, value: Any) -> object:
        """Give the value."""
        self._left -= 1
        self.is_complete = not self._left
        return value


class Skip(Stage):
    """Lets the first values go."""

    __slots__ = ("_left",)

    def __init__(self, count: int) -> None:
        super().__init__()
        self._left = count

    def feed(self, value: Any) -> object:
        """Give the value, unless it is one of the first."""
        if not self._left:
            return value
        self._left -= 1
        return NOTHING


class TakeUntil(Stage):
    """Ends the stream before the first value that a predicate takes."""

    __slots__ = ("_predicate",)

    def __init__(self, predicate: Callable[[Any], object]) -> None:
        super().__init__()
        self._predicate = predicate

    def feed(self, value: Any) -> object:
        """Give the value, unless it ends the stream."""
        self.is_complete = bool(plain(self._predicate(value), "take_until"))
        return NOTHING if self.is_complete else value


class DistinctBy(Stage):
    """Lets the first value of each key through."""

    __slots__ = ("_key", "_seen")

    def __init__(self, key: Callable[[Any], Hashable]) -> None:
        super().__init__()
        self._key = key
        self._seen: set[object] = set()

    def feed(self, value: Any) -> object:
        """Give the value if its key is new."""
        key = plain(self._key(value), "distinct_by")
        if key in self._seen:
            return NOTHING
        self._seen.add(key)
        return value


class Chunk(Stage):
    """Gives lists of n values; the last one may be shorter."""

    __slots__ = ("_chunk", "_size")

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._chunk: list[object] = []

    def feed(self, value: Any) -> object:
        """Give a list if it is full."""
        self._chunk.append(value)
        if len(self._chunk) < self._size:
            return NOTHING
        chunk, self._chunk = self._chunk, []
        return chunk

    def last(self, value: object) -> object:
        """Give a list, full or not, unless it would be empty."""
        if value is not NOTHING:
            self._chunk.append(value)
        return self._chunk or NOTHING


def plain(value: object, operator: str) -> object:
    """Refuse what would have to be awaited. Raises UsageError."""
    if inspect.isawaitable(value):
        if isinstance(value, Coroutine):
            value.close()
        raise UsageError(
            f"{operator}(…) of a stream was given an async function: operators run again on every "
            "replay, so they are plain functions. Await in the flow: async for … in messages(…)"
        )
    return value
