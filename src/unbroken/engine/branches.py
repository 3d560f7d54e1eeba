"""Runs branches of a flow side by side, each in a task and a scope of its own.

While it joins, the parent counts as waiting, so a flow whose branches all wait is blocked. The
first failure cancels the other branches; what they were doing is recorded as cut, and on a replay
they stand there until they are cut again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from unbroken.engine.incarnation import Incarnation
from unbroken.engine.leaving import leave
from unbroken.engine.scope import SCOPE, Scope, is_counted_task
from unbroken.engine.unawaited import let_go
from unbroken.model import signals

T = TypeVar("T")


class Join:
    """Counts the branches that still run, and wakes the parent in time.

    A parent in a task of the user's is not counted; it is while its branches end.
    """

    def __init__(self, incarnation: Incarnation, count: int, *, any_ends: bool) -> None:
        self._incarnation = incarnation
        self._remaining = count
        self._any_ends = any_ends
        self._parent_is_away = True
        self._foreign = None if is_counted_task() else asyncio.current_task()
        for _ in range(count):
            incarnation.enter_branch()
        if self._foreign is None:
            incarnation.leave_branch()
        else:
            incarnation.adopt_foreign()

    def leave(self, *, failed: bool) -> None:
        """One branch is over. The parent runs again before the last one stops counting."""
        self._remaining -= 1
        if failed or self._any_ends or not self._remaining:
            self.bring_parent_back()
        self._incarnation.leave_branch()

    def bring_parent_back(self) -> None:
        """The parent runs again."""
        if self._parent_is_away:
            self._parent_is_away = False
            if self._foreign is None:
                self._incarnation.enter_branch()
            else:
                self._incarnation.enter_foreign(self._foreign)

    def end(self) -> None:
        """All branches have ended."""
        if self._foreign is not None:
            self._incarnation.leave_foreign(self._foreign)


class Enough(asyncio.Future[None]):
    """Done when the first branch fails or all have ended, or any has (`any_ends`).

    It shows whom it waits for, as that of `asyncio.gather` does: where tasks of the user's await
    each other, a flow that only waits can be told from one that runs.
    """

    def __init__(self, tasks: Sequence[asyncio.Task[Any]], *, any_ends: bool) -> None:
        super().__init__()
        self._children = tasks
        self._any_ends = any_ends
        self._remaining = len(tasks)
        for task in tasks:
            task.add_done_callback(self._look_at)

    def _look_at(self, task: asyncio.Task[Any]) -> None:
        self._remaining -= 1
        failed = not task.cancelled() and task.exception() is not None
        if not self.done() and (failed or self._any_ends or not self._remaining):
            self.set_result(None)


class Ended(NamedTuple):
    """The tasks of all branches, and which of them had ended when the rest was cancelled."""

    tasks: list[asyncio.Task[object]]
    first: list[int]


async def gather(
    scope: Scope, key: str, branches: Sequence[Awaitable[object]]
) -> tuple[object, ...]:
    """Await all branches and give their results; raises the first failure after all have ended."""
    incarnation = scope.incarnation
    incarnation.is_awaited(key)
    if not incarnation.is_open():
        let_go(incarnation, branches)
        await leave(incarnation)
    if not branches:
        return ()
    prefixed = {f"{key}/{index}/": branch for index, branch in enumerate(branches)}
    tasks, _ = await run_branches(incarnation, prefixed)
    errors = [task.exception() for task in tasks if not task.cancelled()]
    check_signal(incarnation, tasks)
    for error in errors:
        if error is not None:
            raise error
    return tuple(task.result() for task in tasks)


async def run_branches(
    incarnation: Incarnation, branches: Mapping[str, Awaitable[object]], *, any_ends: bool = False
) -> Ended:
    """Run branches by the prefixes of their scopes until all have ended.

    The first that fails, or that ends at all (`any_ends`), cancels the others. If this task was
    cancelled meanwhile, raises CancelledError once all have ended.
    """
    join = Join(incarnation, len(branches), any_ends=any_ends)
    tasks = [
        asyncio.create_task(
            _run_branch(incarnation, prefix, branch, join), name=incarnation.flow.id
        )
        for prefix, branch in branches.items()
    ]
    try:
        await Enough(tasks, any_ends=any_ends)
        first = [index for index, task in enumerate(tasks) if task.done()]
    finally:
        join.bring_parent_back()
        try:
            await _end_all(tasks)
        finally:
            join.end()
    return Ended(tasks, first)


async def see_through(incarnation: Incarnation, prefix: str, branch: Awaitable[T]) -> T:
    """Run one branch to its end, whoever cancels this task meanwhile; give or raise what it does.

    Once the incarnation is over, a cancel reaches the branch too.
    """
    join = Join(incarnation, 1, any_ends=False)
    running = _run_branch(incarnation, prefix, branch, join)
    task = asyncio.create_task(running, name=incarnation.flow.id)
    try:
        while not task.done():
            try:
                await Enough((task,), any_ends=False)
            except asyncio.CancelledError:
                if incarnation.is_sealed:
                    task.cancel()
    finally:
        join.bring_parent_back()
        join.end()
    check_signal(incarnation, (task,))
    return task.result()


def check_signal(incarnation: Incarnation, tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Raise the signal if the incarnation is over, or a branch has left with it."""
    errors = [task.exception() for task in tasks if not task.cancelled()]
    if incarnation.is_sealed or any(error and signals.is_signal(error) for error in errors):
        raise signals.Suspended


async def _run_branch(incarnation: Incarnation, prefix: str, branch: Awaitable[T], join: Join) -> T:
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
