"""A flow type as the engine knows it: a name and callables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from unbroken.model.retry import Retry

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class FlowType(msgspec.Struct, frozen=True):
    """How to run one type of flow.

    `run` begins one incarnation. `decode` may raise DeserializationError. `returns` is the
    annotation of the result. `timeout` is in seconds; `code` is the version of the flow's code.
    """

    name: str
    run: Callable[..., Awaitable[object]]
    encode: Callable[[tuple[Any, ...], dict[str, Any]], str]
    decode: Callable[[str], Arguments]
    returns: object
    aliases: tuple[str, ...] = ()
    retry: Retry | None = None
    timeout: float | None = None
    code: int = 1
