"""`for_each`: work through a sequence of any length."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar, get_args, get_origin, overload

from unbroken.engine import looping
from unbroken.engine.looping import Course
from unbroken.engine.scope import scope_for_wait
from unbroken.flows.saga import apart
from unbroken.model.ids import check_name

T = TypeVar("T")
A = TypeVar("A")

MISSING: Any = object()


@overload
def for_each(
    items: Iterable[T] | AsyncIterable[T],
    body: Callable[[T], Awaitable[object]],
    /,
    *,
    key: Callable[[T], object] | None = None,
    name: str | None = None,
) -> Coroutine[object, object, None]: ...
@overload
def for_each(
    items: Iterable[T] | AsyncIterable[T],
    body: Callable[[A, T], Awaitable[A]],
    /,
    *,
    initial: A,
    key: Callable[[T], object] | None = None,
    name: str | None = None,
) -> Coroutine[object, object, A]: ...
def for_each(
    items: Any,
    body: Any,
    /,
    *,
    initial: Any = MISSING,
    key: Callable[[Any], object] | None = None,
    name: str | None = None,
) -> Coroutine[object, object, Any]:
    """Await `body(item)` for each item, in order; over millions of them nothing grows.

    With `initial` the body is `body(accumulator, item)` and gives the next accumulator; the last
    one is the result. What an item records is forgotten once it is done. The items are asked for
    again when the flow goes on after a suspension or crash: they must be the same ones up to where
    it was, or the flow is parked; `key` names each item, to compare the last one that was done. A
    crash repeats at most 1,000 items that recorded nothing. An error says which item it was, and a
    restarted flow goes on there. `name` gives the loop a key of its own.
    """
    _check(items, body, key)
    scope = scope_for_wait("for_each(…)")
    returns = _awaited(scope.incarnation.services.specs.of(body).returns)
    chosen = "for_each" if name is None else check_name(name, "name of a for_each")
    taken = scope.take(chosen, explicit=name is not None)
    scope.incarnation.promise(taken)
    folds = initial is not MISSING
    course = Course(items, apart(body), folds, initial if folds else None, key, returns)
    return looping.for_each(scope, taken, course)


def _awaited(returns: object) -> object:
    """Give what awaiting a result of this type gives; an async function says so itself."""
    origin = get_origin(returns)
    if not isinstance(origin, type) or not issubclass(origin, Awaitable):
        return returns
    value = get_args(returns)[-1]
    return Any if isinstance(value, TypeVar) else value


def _check(items: object, body: object, key: object) -> None:
    if isinstance(items, Coroutine):
        items.close()
        raise TypeError("for_each(…) was given a coroutine: write for_each(await …, body)")
    if not isinstance(items, Iterable | AsyncIterable):
        raise TypeError(f"for_each(…) takes items to iterate over, not a {type(items).__name__}")
    if not callable(body):
        raise TypeError(
            f"for_each(…) takes an async function of an item, not a {type(body).__name__}: "
            "write for_each(items, body), not for_each(items, body(…))"
        )
    if key is not None and not callable(key):
        raise TypeError("for_each(key=…) takes a function of an item")
