"""Which class a stored name stands for: known classes first, then data classes already loaded.

Nothing is ever imported, and no module attribute is computed: `vars` alone is walked.
"""

from __future__ import annotations

import builtins
import sys
import typing
from collections.abc import Iterator
from types import ModuleType
from typing import Final, Literal

from .classes import Shape, hints_of, is_data_class, shape_of
from .scalars import SCALARS


def type_name(cls: type[object]) -> str:
    """Name a class as it is stored: `module:qualname`, builtins by their bare name."""
    if cls.__module__ == "builtins":
        return cls.__qualname__
    return f"{cls.__module__}:{cls.__qualname__}"


_PLAIN: Final = (
    *(bool, int, float, str, type(None)),
    *(list, dict, tuple, set, frozenset),
)
_ALWAYS: Final[dict[str, type]] = {type_name(cls): cls for cls in (*_PLAIN, *SCALARS)}


class Known:
    """The classes that stored names may stand for."""

    def __init__(self) -> None:
        self._classes: dict[str, type] = {}
        self._shapes: dict[type, Shape | None] = {}

    def add(self, annotation: object) -> list[type]:
        """Register every data class found in the annotation and in the fields of those classes."""
        found = list(_data_classes(annotation))
        self._classes.update((type_name(cls), cls) for cls in found)
        return found

    def holds(self, annotation: object) -> bool:
        """Say whether a class is what its stored name stands for already."""
        return (
            isinstance(annotation, type) and self._classes.get(type_name(annotation)) is annotation
        )

    def alias(self, name: str, cls: type[object]) -> None:
        """Let a former stored name stand for a class that was renamed or moved."""
        self._classes[name] = cls

    def find(self, name: str) -> type | None:
        """Find the class of a stored name, or `None` if no known or loaded class has it."""
        return _ALWAYS.get(name) or self._classes.get(name) or _loaded(name)

    def find_anywhere(self, name: str) -> type | None:
        """Find it also among exceptions that were made inside a function; slower."""
        return self.find(name) or _newest_exception(name)

    def shape(self, cls: type[object]) -> Shape | None:
        """Give the fields of a data class; they are worked out once."""
        if cls not in self._shapes:
            self._shapes[cls] = shape_of(cls)
        return self._shapes[cls]

    def is_findable(self, cls: type[object]) -> bool:
        """Say whether the stored name of a class leads back to it."""
        find = self.find_anywhere if issubclass(cls, BaseException) else self.find
        return find(type_name(cls)) is cls


def _loaded(name: str) -> type | None:
    module_name, _, qualname = name.rpartition(":")
    module = sys.modules.get(module_name) if module_name else builtins
    if not isinstance(module, ModuleType):
        return None
    found: object = module
    for part in qualname.split("."):
        if not isinstance(found, (ModuleType, type)):
            return None
        found = vars(found).get(part)
    if isinstance(found, type) and is_data_class(found) and type_name(found) == name:
        return found
    return None


def _newest_exception(name: str) -> type | None:
    newest = None
    stack: list[type[BaseException]] = [BaseException]
    seen: set[type] = set()
    while stack:
        for cls in type.__subclasses__(stack.pop()):
            if cls in seen:
                continue
            seen.add(cls)
            stack.append(cls)
            if type_name(cls) == name:
                newest = cls
    return newest


def _data_classes(annotation: object) -> Iterator[type]:
    stack = [annotation]
    seen: list[object] = []
    done: set[int] = set()
    while stack:
        part = stack.pop()
        if id(part) in done:
            continue
        done.add(id(part))
        seen.append(part)  # kept alive, so that no id is used twice
        if isinstance(part, type) and is_data_class(part):
            yield part
        stack.extend(_parts(part))


def _parts(part: object) -> list[object]:
    origin = typing.get_origin(part)
    if origin is Literal:
        return [type(member) for member in typing.get_args(part)]
    if origin is not None:
        return [origin, *typing.get_args(part)]
    if isinstance(part, typing.TypeVar):
        return [part.__bound__, *part.__constraints__]
    if isinstance(part, typing.NewType):
        return [part.__supertype__]
    if isinstance(part, type):
        return _parts_of_class(part)
    return [getattr(part, "__value__", None)]  # `type Name = ...`


def _parts_of_class(cls: type[object]) -> list[object]:
    if typing.is_typeddict(cls) or is_data_class(cls):
        return list(hints_of(cls).values())
    return []
