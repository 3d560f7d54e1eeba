"""Exceptions taken apart into plain parts, and put together again without running `__init__`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

# Attributes that builtin exceptions keep outside of `args` and of `__dict__`.
_HIDDEN: Final[Mapping[type[BaseException], tuple[str, ...]]] = {
    AttributeError: ("name",),
    ImportError: ("name", "path"),
    NameError: ("name",),
    OSError: ("filename", "filename2"),
}


def take_apart(error: BaseException) -> tuple[tuple[object, ...], dict[str, object]]:
    """Give the arguments and the attributes that make up an exception."""
    state = dict(vars(error)) if hasattr(error, "__dict__") else {}
    for name in _outside(type(error)):
        value = getattr(error, name, None)
        if value is not None:
            state[name] = value
    return error.args, state


def put_together(
    cls: type[BaseException], args: tuple[object, ...], state: Mapping[str, object]
) -> BaseException:
    """Make an exception of the class from parts.

    Only the constructor of its nearest builtin base runs; classes laid out by other extensions
    are refused with `TypeError`.
    """
    base = cast("Any", next(c for c in cls.__mro__ if c.__module__ == "builtins"))
    error = base.__new__(cls, *args)
    base.__init__(error, *args)
    for name, value in state.items():
        object.__setattr__(error, name, value)
    return error


def _outside(cls: type[BaseException]) -> Iterator[str]:
    for base in cls.__mro__:
        yield from _HIDDEN.get(base, ())
        slots = vars(base).get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots
