"""Runs the body of an effect: in a context of its own, in place or in a thread, for a limited time.

What a body sets in context variables is dropped, because a replay does not run it: live and replay
must not differ.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from functools import partial
from types import CoroutineType, TracebackType
from typing import Any, cast
from uuid import UUID

import msgspec

from unbroken.engine.effect_spec import EffectSpec
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.scope import SCOPE, Scope
from unbroken.model.clock import Alarm, Clock
from unbroken.model.errors import EffectInterrupted, GeneratorRefused

Call = Callable[[], object]


async def run_body(scope: Scope, key: str, spec: EffectSpec, call: Call) -> object:
    """Run a body beneath `key` and give its value; raises what it raises, or TimeoutError."""
    services = scope.incarnation.services
    if spec.timeout is not None:
        return await _run_limited(scope, key, spec, call, TimeLimit(services.clock, spec.timeout))
    context = copy_context()
    body_scope = Scope(scope.incarnation, f"{key}/", asyncio.current_task(), body_of=key)
    context.run(SCOPE.set, body_scope)
    result: Any
    if spec.in_thread:
        begin = partial(_begin_in_thread, scope.incarnation, partial(context.run, call))
        result = await services.run_in_thread(begin)
    else:
        result = context.run(call)
    kind = cast("type[object]", type(result))
    if kind is CoroutineType:
        return await InContext(context, result)
    if kind in PLAIN:
        return result
    if inspect.isawaitable(result):
        return await InContext(context, _await(result))
    if isinstance(result, Generator) or inspect.isasyncgen(result):
        raise GeneratorRefused(f"the effect {key!r} returned a generator: return a list")
    return result


async def _run_limited(
    scope: Scope, key: str, spec: EffectSpec, call: Call, limit: TimeLimit
) -> object:
    """Run a body that may take only so long. A thread cannot be stopped: what it did is unknown."""
    unlimited = msgspec.structs.replace(spec, timeout=None)
    try:
        async with limit:
            return await run_body(scope, key, unlimited, call)
    except TimeoutError:
        if limit.has_expired and spec.in_thread:
            text = (
                f"{key!r} took longer than its time-out; a plain function cannot be stopped, so "
                "its thread stays occupied until it returns, and its result is dropped"
            )
            scope.incarnation.emit("effect.stuck_thread", text, logging.WARNING)
            if spec.at_most_once:
                raise EffectInterrupted(key) from None
        raise


class BeginsTooLate(Exception):
    """The body had to wait for a thread, and may not begin before the lease was looked at again."""


def _begin_in_thread(incarnation: Incarnation, begin: Call) -> object:
    if incarnation.is_sealed or incarnation.services.replica.lease_is_over():
        raise BeginsTooLate
    return begin()


# Looking at these for an `__await__` would be the dearest part of a quick body.
PLAIN = frozenset((str, int, float, bool, bytes, type(None), dict, list, tuple, UUID))


async def _await(awaitable: Awaitable[object]) -> object:
    return await awaitable


class InContext:
    """Drives a coroutine inside a context, in the awaiting task."""

    __slots__ = ("_context", "_coroutine")

    def __init__(self, context: Context, coroutine: Coroutine[Any, Any, object]) -> None:
        self._context = context
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, object]:
        run, coroutine = self._context.run, self._coroutine
        resume: Callable[[Any], Any] = coroutine.send
        value: Any = None
        while True:
            try:
                yielded = run(resume, value)
            except StopIteration as stop:
                return stop.value
            try:
                value = yield yielded
            except GeneratorExit:
                run(coroutine.close)
                raise
            except BaseException as error:  # noqa: BLE001  handed on to the body
                resume, value = coroutine.throw, error
            else:
                resume = coroutine.send


class TimeLimit:
    """Cancels the task after a time on the engine's clock, and turns that into TimeoutError."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self.has_expired = False
        self._task: asyncio.Task[object] | None = None
        self._alarm: Alarm | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        self._alarm = self._clock.call_at(self._clock.monotonic() + self._seconds, self._expire)

    def _expire(self) -> None:
        if self._task is not None:
            self.has_expired = True
            self._task.cancel()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if self.has_expired and self._task is not None:
            others = self._task.uncancel()
            if kind is asyncio.CancelledError and not others:
                raise TimeoutError(f"the effect took longer than {self._seconds:g} s") from error
