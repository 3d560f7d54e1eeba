"""Branches that will not run on: which keys were taken for them, and how they go without a warning.

`race(message(Paid), sleep(day))` takes its keys where it is written, before a branch runs. A
coroutine that has not begun still holds its arguments; ours have their key among them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Collection, Iterable, Iterator
from types import CoroutineType
from typing import Any, TypeAlias, cast

from unbroken.engine.incarnation import Incarnation

Pending: TypeAlias = "CoroutineType[Any, Any, Any]"

OURS = "unbroken."


class Unawaited:
    """One branch before it runs: the coroutines behind it, and the keys that only they answer."""

    def __init__(self, incarnation: Incarnation, branch: Awaitable[object]) -> None:
        self._incarnation = incarnation
        self._branch = branch
        self.coroutines = list(_behind(branch))
        keys = map(_key_of, self.coroutines)
        self.keys = [key for key in keys if key is not None and incarnation.is_promised(key)]

    def let_go(self, *, but: Collection[Pending] = ()) -> None:
        """End what has not begun, without Python's warning; nobody misses its keys."""
        if isinstance(self._branch, asyncio.Future):
            self._branch.cancel()
        for key in self.keys:
            self._incarnation.is_awaited(key)
            self._incarnation.read(key)
        for coroutine in self.coroutines:
            if coroutine not in but and _has_not_begun(coroutine):
                coroutine.close()


def let_go(incarnation: Incarnation, branches: Iterable[object]) -> None:
    """End branches that nobody will await; a list of some may stand among them by mistake."""
    for branch in branches:
        if isinstance(branch, Awaitable):
            Unawaited(incarnation, cast("Awaitable[object]", branch)).let_go()
        elif isinstance(branch, list | tuple):
            let_go(incarnation, cast("Iterable[object]", branch))


def _behind(branch: object) -> Iterator[Pending]:
    """Give the coroutines that have not begun behind a branch: itself, and what it was given."""
    waiting, seen = [branch], set[int]()
    while waiting:
        found = waiting.pop()
        if not isinstance(found, CoroutineType) or id(cast("object", found)) in seen:
            continue
        coroutine = cast("Pending", found)
        seen.add(id(coroutine))
        if not _has_not_begun(coroutine):
            continue
        yield coroutine
        given = inspect.getcoroutinelocals(coroutine)
        waiting.extend(given.values())
        if _is_ours(coroutine):
            waiting.extend(given.get("branches", ()))


def _has_not_begun(coroutine: Pending) -> bool:
    return inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED


def _is_ours(coroutine: Pending) -> bool:
    frame = coroutine.cr_frame
    return frame is not None and str(frame.f_globals.get("__name__")).startswith(OURS)


def _key_of(coroutine: Pending) -> str | None:
    """Give the key that was taken for a coroutine of ours, an argument or what its object holds."""
    if not _is_ours(coroutine):
        return None
    given = inspect.getcoroutinelocals(coroutine)
    key = given.get("key", getattr(given.get("self"), "_key", None))
    return key if isinstance(key, str) else None
