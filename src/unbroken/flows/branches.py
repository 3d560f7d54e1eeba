"""`gather` and `race`: branches of a flow, side by side."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, Literal, TypeVar, overload

from unbroken.engine import branches as engine
from unbroken.engine import racing
from unbroken.engine.scope import Scope, scope_for_wait
from unbroken.engine.unawaited import let_go
from unbroken.model.errors import UsageError

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
    return engine.gather(*_taken("gather", branches), branches)


@overload
def race(b1: Awaitable[T1], /) -> Coroutine[object, object, tuple[Literal[0], T1]]: ...
@overload
def race(
    b1: Awaitable[T1], b2: Awaitable[T2], /
) -> Coroutine[object, object, tuple[Literal[0], T1] | tuple[Literal[1], T2]]: ...
@overload
def race(
    b1: Awaitable[T1], b2: Awaitable[T2], b3: Awaitable[T3], /
) -> Coroutine[
    object, object, tuple[Literal[0], T1] | tuple[Literal[1], T2] | tuple[Literal[2], T3]
]: ...
@overload
def race(
    b1: Awaitable[T1], b2: Awaitable[T2], b3: Awaitable[T3], b4: Awaitable[T4], /
) -> Coroutine[
    object,
    object,
    tuple[Literal[0], T1] | tuple[Literal[1], T2] | tuple[Literal[2], T3] | tuple[Literal[3], T4],
]: ...
@overload
def race(*branches: Awaitable[T]) -> Coroutine[object, object, tuple[int, T]]: ...
def race(*branches: Awaitable[Any]) -> Coroutine[object, object, tuple[Any, Any]]:
    """Run branches side by side until the first ends; give its index and its value.

    An error ends a branch too, and is raised. Of branches that end together the first one named
    wins. The others are cancelled, for good: what they recorded is forgotten, messages that they
    held go back to the flow, their children go by their `on_cancel`; that an at-most-once effect of
    theirs had begun is forgotten too. No branch at all is a UsageError.
    """
    if not branches:
        raise UsageError("race() without branches would never end: give it at least one")
    return racing.race(*_taken("race", branches), branches)


def _taken(name: str, branches: Sequence[object]) -> tuple[Scope, str]:
    """Take the key. Raises TypeError for a branch that is none."""
    scope = scope_for_wait(f"{name}(…)")
    try:
        for branch in branches:
            if not isinstance(branch, Awaitable):
                raise TypeError(  # noqa: TRY301
                    f"{name}(…) takes what can be awaited, not a {type(branch).__name__}: "
                    "call the function, and unpack a list with *"
                )
        key = scope.take(name, explicit=False)
    except BaseException:
        let_go(scope.incarnation, branches)
        raise
    scope.incarnation.promise(key)
    return scope, key
