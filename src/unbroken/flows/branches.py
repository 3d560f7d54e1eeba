"""`gather`: branches of a flow, side by side."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar, overload

from unbroken.engine import branches as engine
from unbroken.engine.scope import scope_for_wait

T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")


@overload
def gather(b1: Awaitable[T1], /) -> Coroutine[object, object, tuple[T1]]: ...
@overload
def gather(b1: Awaitable[T1], b2: Awaitable[T2], /) -> Coroutine[object, object, tuple[T1, T2]]: ...
@overload
def gather(
    b1: Awaitable[T1], b2: Awaitable[T2], b3: Awaitable[T3], /
) -> Coroutine[object, object, tuple[T1, T2, T3]]: ...
@overload
def gather(
    b1: Awaitable[T1], b2: Awaitable[T2], b3: Awaitable[T3], b4: Awaitable[T4], /
) -> Coroutine[object, object, tuple[T1, T2, T3, T4]]: ...
@overload
def gather(*branches: Awaitable[T]) -> Coroutine[object, object, tuple[T, ...]]: ...
def gather(*branches: Awaitable[Any]) -> Coroutine[object, object, tuple[Any, ...]]:
    """Run branches side by side and give their results in order.

    Each branch has its own names. The first failure cancels the others and is raised after they
    have ended. A flow whose branches all wait leaves memory like any other.
    """
    scope = scope_for_wait("gather(…)")
    key = scope.take("gather", explicit=False)
    scope.incarnation.promise(key)
    return engine.gather(scope, key, branches)
