"""Which running tasks keep a flow from standing still.

A flow may wait through asyncio's own means: a TaskGroup or `asyncio.gather` over tasks that wait
for messages. The engine did not begin those tasks, so it looks at what the flow's task awaits. What
it cannot look through counts as running: the flow then merely stays in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, cast

Task: TypeAlias = "asyncio.Task[Any]"

MOST_LEVELS = 20


def awaited_by(task: Task) -> object:
    """Give the future that a task stands at."""
    return getattr(task, "_fut_waiter", None)


def running_behind(task: Task, is_wait: Callable[[object], bool], level: int = 0) -> list[Task]:
    """Give the tasks behind `task`, or itself, that run; none if only durable waits hold it up."""
    awaited = awaited_by(task)
    if awaited is not None and is_wait(awaited):
        return []
    pending = [one for one in _tasks_behind(task, awaited) if not one.done()]
    if not pending or level > MOST_LEVELS:
        return [task]
    return [found for one in pending for found in running_behind(one, is_wait, level + 1)]


def _tasks_behind(task: Task, awaited: object) -> Iterable[Task]:
    """Give the tasks whose end would let this one go on, as far as one can see."""
    if isinstance(awaited, asyncio.Task):
        return (cast("Task", awaited),)
    gathered: Iterable[Task] = getattr(awaited, "_children", ())
    group: object = _task_group_of(task) if awaited is not None else None
    in_group: Iterable[Task] = getattr(group, "_tasks", ())
    return (*gathered, *in_group)


def _task_group_of(task: Task) -> object:
    """Find the TaskGroup at whose end a task waits."""
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None)
        if frame is not None and frame.f_code is asyncio.TaskGroup.__aexit__.__code__:
            return frame.f_locals.get("self")
        awaited = getattr(awaited, "cr_await", None)
    return None
