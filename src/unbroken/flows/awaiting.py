"""Waiting, from outside of a flow: until it has ended, and never longer than was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import TypeVar

from unbroken.engine.engine import Engine
from unbroken.model.clock import Alarm
from unbroken.model.records import Outcome
from unbroken.stores.batch import Started

T = TypeVar("T")


async def await_outcome(
    engine: Engine, started: Started, timeout: timedelta | None
) -> tuple[Outcome, BaseException | None]:
    """Give how the flow ended, and the live exception if it failed in this process."""
    if started.outcome is not None:
        return started.outcome, None
    late = f"the flow {started.flow.id!r} did not end within {timeout}; it goes on"
    ended = await in_time(engine, engine.outcome(started.flow), timeout, late)
    return ended.outcome, ended.live


async def in_time(
    engine: Engine, work: Coroutine[object, object, T], timeout: timedelta | None, late: str
) -> T:
    """Await something; once the time is over it is cancelled. Raises TimeoutError with `late`."""
    if timeout is None:
        return await work
    waiting = asyncio.create_task(work)
    alarm = _cancel_after(engine, timeout, waiting)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        if waiting.cancelled() and not _is_cancelling():
            raise TimeoutError(late) from None
        waiting.cancel()
        raise
    finally:
        alarm.cancel()


def _cancel_after(engine: Engine, timeout: timedelta, waiting: asyncio.Task[T]) -> Alarm:
    clock = engine.services.clock
    return clock.call_at(clock.monotonic() + timeout.total_seconds(), lambda: _give_up(waiting))


def _give_up(waiting: asyncio.Task[T]) -> None:
    waiting.cancel()


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
