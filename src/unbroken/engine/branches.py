"""Runs branches of a flow side by side, each in a task and a scope of its own.

While it joins, the parent counts as waiting, so a flow whose branches all wait is blocked. The
first failure cancels the other branches; what they were doing is recorded as cut, and on a replay
they stand there until they are cut again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence

from unbroken.engine.incarnation import Incarnation
from unbroken.engine.leaving import leave
from unbroken.engine.scope import SCOPE, Scope, is_counted_task
from unbroken.model import signals


class Join:
    """Counts the branches that still run, and wakes the parent in time."""

    def __init__(self, incarnation: Incarnation, count: int, *, parent_counts: bool) -> None:
        self._incarnation = incarnation
        self._remaining = count
        self._parent_is_away = parent_counts
        for _ in range(count):
            incarnation.enter_branch()
        if parent_counts:
            incarnation.leave_branch()

    def leave(self, *, failed: bool) -> None:
        """One branch is over. The parent runs again before the last one stops counting."""
        self._remaining -= 1
        if failed or not self._remaining:
            self.bring_parent_back()
        self._incarnation.leave_branch()

    def bring_parent_back(self) -> None:
        """The parent runs again."""
        if self._parent_is_away:
            self._parent_is_away = False
            self._incarnation.enter_branch()


async def gather(
    scope: Scope, key: str, branches: Sequence[Awaitable[object]]
) -> tuple[object, ...]:
    """Await all branches and give their results; raises the first failure after all have ended."""
    incarnation = scope.incarnation
    incarnation.is_awaited(key)
    if not incarnation.is_open():
        _close(branches)
        await leave(incarnation)
    if not branches:
        return ()
    join = Join(incarnation, len(branches), parent_counts=is_counted_task())
    tasks = [
        asyncio.create_task(_run_branch(incarnation, f"{key}/{index}/", branch, join))
        for index, branch in enumerate(branches)
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        join.bring_parent_back()
        await _end_all(tasks)
    return _results(incarnation, tasks)


def _close(branches: Sequence[Awaitable[object]]) -> None:
    """Let branches go that nobody will await, without Python's warning of a forgotten one."""
    for branch in branches:
        if isinstance(branch, Coroutine):
            branch.close()


async def _run_branch(
    incarnation: Incarnation, prefix: str, branch: Awaitable[object], join: Join
) -> object:
    SCOPE.set(Scope(incarnation, prefix, asyncio.current_task()))
    failed = True
    try:
        result = await branch
        failed = False
        return result
    finally:
        join.leave(failed=failed)


async def _end_all(tasks: Sequence[asyncio.Task[object]]) -> None:
    """Cancel what still runs and see it end, whatever comes in between."""
    for task in tasks:
        task.cancel()
    cancelled: asyncio.CancelledError | None = None
    while any(not task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


def _results(incarnation: Incarnation, tasks: Sequence[asyncio.Task[object]]) -> tuple[object, ...]:
    errors = [task.exception() for task in tasks if not task.cancelled()]
    if incarnation.is_sealed or any(error and signals.is_signal(error) for error in errors):
        raise signals.Suspended
    for error in errors:
        if error is not None:
            raise error
    return tuple(task.result() for task in tasks)
