"""What to tell the author of a value that cannot be kept."""

from __future__ import annotations

import math
import types
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Final

from unbroken.model.errors import ValueChanged

from .classes import is_data_class
from .comparison import Difference
from .known import type_name

_DIGITS: Final = 4300
_SURELY_SHORT: Final = int(_DIGITS * math.log2(10)) - 1  # bits
_CODE: Final = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def advice(value: object) -> str:
    """Say why the value has no stored form and what to do about it."""
    cls = type(value)
    if isinstance(value, (Iterator, AsyncIterator)):
        return f"a {cls.__name__} can be read only once: return a list, or use for_each"
    if isinstance(value, Awaitable):
        return f"a {cls.__name__} is work, not data: await it first"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN and infinities have no JSON form: use None, or Decimal('NaN')"
    if isinstance(value, int) and is_too_long(value):
        return f"an int of more than {_DIGITS} digits cannot be kept"
    if isinstance(value, str) and not _is_text(value):
        return "the text has a lone surrogate, which no database keeps: decode it properly first"
    if isinstance(value, (*_CODE, types.ModuleType)):
        return f"a {cls.__name__} is code, not data: keep its name instead"
    if is_data_class(cls):
        return unfindable(cls)
    return (
        f"{type_name(cls)} is no data class: return a dataclass, an attrs or pydantic class, "
        "a Struct, or plain values"
    )


def unfindable(cls: type[object]) -> str:
    """Say that a class will not be found again by its stored name."""
    return (
        f"{type_name(cls)} will not be found again by that name: annotate `-> {cls.__name__}`, "
        "or define the class at the top of its module"
    )


def is_too_long(value: int) -> bool:
    """Say whether an int has more digits than Python reads back by default."""
    return value.bit_length() > _SURELY_SHORT and abs(value) >= 10**_DIGITS


def is_bare(value: object) -> bool:
    """Say whether a str, int, bool, float or None stands in JSON as it is."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return value.isascii() or _is_text(value)
    return not isinstance(value, int) or not is_too_long(value)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def changed(difference: Difference, path: str) -> ValueChanged:
    """Say that a value would come back as another one."""
    return ValueChanged(
        f"{difference.reason} on its way through the store: annotate what is really there, "
        "or return plain values",
        path + difference.path,
    )
