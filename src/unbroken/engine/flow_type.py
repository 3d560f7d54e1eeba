"""A flow type as the engine knows it: a name and callables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class FlowType(msgspec.Struct, frozen=True):
    """How to run one type of flow.

    `run` begins one incarnation. `decode` may raise DeserializationError. `returns` is the
    annotation of the result.
    """

    name: str
    run: Callable[..., Awaitable[object]]
    encode: Callable[[tuple[Any, ...], dict[str, Any]], str]
    decode: Callable[[str], Arguments]
    returns: object
    aliases: tuple[str, ...] = ()
