"""Finds durable waits inside of asyncio's own time limits, which begin anew with each incarnation.

`asyncio.timeout` works while the flow is in memory; a flow that leaves it first waits for ever.
asyncio does not say what a task is inside of, so its loop's timers are looked through, once for
each of the first places where flows of a type wait; on a loop that shows none nothing is found.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterable
from contextvars import Context
from types import FrameType
from typing import Any

from unbroken.engine.events import Event, Events
from unbroken.engine.scope import SCOPE, Scope

MOST_PLACES = 100


class LoopLimits:
    """Tells once that a wait stands inside of `asyncio.timeout` or `asyncio.wait_for`."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._looked_at: dict[str, set[tuple[str, int]]] = {}
        self._is_told = False

    def look(self) -> None:
        """A durable wait begins in the running task."""
        if self._is_told:
            return
        scope = SCOPE.get()
        places = self._looked_at.setdefault(scope.incarnation.flow.type, set())
        if len(places) >= MOST_PLACES:
            return
        place = (scope.prefix, sum((scope.counts or {}).values()))
        if place in places:
            return
        places.add(place)
        if _is_limited(scope):
            self._tell(scope)

    def _tell(self, scope: Scope) -> None:
        self._is_told = True
        flow, frame = scope.incarnation.flow, _frame_in_user_code()
        where = f" at {frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""
        text = (
            f"a durable wait{where} stands inside asyncio.timeout or asyncio.wait_for: that time "
            "begins anew whenever the flow comes back into memory, and may never be over. Give the "
            "wait `timeout=`, or race it: race(message(…), sleep(…)). Told once"
        )
        event = Event("flow.volatile_timeout", text, flow.type, flow.id, logging.WARNING)
        self._events.emit_once(event, "")


def _frame_in_user_code() -> FrameType | None:
    """Give the line of the user's that waits; None if the wait is a task of its own."""
    frame = inspect.currentframe()
    while frame is not None and _module_of(frame).startswith("unbroken."):
        frame = frame.f_back
    return None if frame is None or _module_of(frame).startswith("asyncio.") else frame


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_limited(scope: Scope) -> bool:
    timers: Iterable[Any] = getattr(asyncio.get_running_loop(), "_scheduled", ())
    return any(not timer.cancelled() and _limits(timer, scope) for timer in timers)


def _limits(timer: Any, scope: Scope) -> bool:
    """Whether a timer of the loop will cut the running task."""
    callback, context = getattr(timer, "_callback", None), getattr(timer, "_context", None)
    around = context.get(SCOPE) if isinstance(context, Context) else None
    if around is None or around.incarnation is not scope.incarnation:
        return False
    task: Any = asyncio.current_task()
    limit: Any = getattr(callback, "__self__", None)
    if isinstance(limit, asyncio.Timeout):
        if around.prefix == scope.prefix:
            return getattr(limit, "_task", None) is task
        return scope.prefix.startswith(around.prefix)
    released = [getattr(one, "args", ()) for one, _ in getattr(task, "_callbacks", None) or ()]
    return bool(timer._args) and timer._args in released  # noqa: SLF001  wait_for until Python 3.11
