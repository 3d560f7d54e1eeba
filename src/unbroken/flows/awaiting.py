"""Waiting, from outside of a flow, until a flow has ended."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from unbroken.engine.completions import Ended
from unbroken.engine.engine import Engine
from unbroken.model.clock import Alarm
from unbroken.model.records import Outcome
from unbroken.stores.batch import Started


async def await_outcome(
    engine: Engine, started: Started, timeout: timedelta | None
) -> tuple[Outcome, BaseException | None]:
    """Give how the flow ended, and the live exception if it failed in this process."""
    if started.outcome is not None:
        return started.outcome, None
    if timeout is None:
        ended = await engine.outcome(started.flow)
        return ended.outcome, ended.live
    waiting = asyncio.create_task(engine.outcome(started.flow))
    alarm = _cancel_after(engine, timeout, waiting)
    try:
        ended = await asyncio.shield(waiting)
    except asyncio.CancelledError:
        if waiting.cancelled() and not _is_cancelling():
            raise TimeoutError(
                f"the flow {started.flow.id!r} did not end within {timeout}; it goes on"
            ) from None
        waiting.cancel()
        raise
    finally:
        alarm.cancel()
    return ended.outcome, ended.live


def _cancel_after(engine: Engine, timeout: timedelta, waiting: asyncio.Task[Ended]) -> Alarm:
    clock = engine.services.clock
    return clock.call_at(clock.monotonic() + timeout.total_seconds(), lambda: _give_up(waiting))


def _give_up(waiting: asyncio.Task[Ended]) -> None:
    waiting.cancel()


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
