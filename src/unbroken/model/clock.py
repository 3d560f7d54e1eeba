"""Time, as the engine sees it: one of the four interfaces.

Instants are whole microseconds since 1970 (UTC), so that every store keeps and compares them alike.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def instant_of(moment: datetime) -> int:
    """Turn an aware datetime into an instant."""
    return (moment - EPOCH) // MICROSECOND


def moment_of(instant: int) -> datetime:
    """Turn an instant into an aware datetime in UTC."""
    return EPOCH + timedelta(microseconds=instant)


class Alarm(Protocol):
    """A callback that was set and can be taken back."""

    def cancel(self) -> None:
        """Take the callback back; after it ran this does nothing."""
        ...


class Rest(Protocol):
    """Tells whether an engine has nothing to do until time passes."""

    @property
    def is_busy(self) -> bool:
        """Whether something is under way."""
        ...

    async def wait(self) -> None:
        """Return once nothing runs and nothing is queued."""
        ...


class Clock(Protocol):
    """Wall time, monotonic time, and two ways to wait for it."""

    def now(self) -> int:
        """Give the wall clock's instant; called from any thread."""
        ...

    def monotonic(self) -> float:
        """Give seconds that never go back; called from any thread."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for housekeeping: polls, beats, back-off."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Alarm:
        """Call back at a monotonic time because a flow waits for it."""
        ...

    def attach(self, rest: Rest) -> None:
        """Learn of an engine that lives by this clock."""
        ...

    def detach(self, rest: Rest) -> None:
        """Forget an engine."""
        ...


class SystemClock:
    """The machine's clocks and the running event loop's timers."""

    def __init__(self) -> None:
        # An alarm belongs to nobody's context; without this each would hold a copy of one.
        self._context = Context()

    def now(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_at(self, when: float, callback: Callable[[], None]) -> Alarm:
        loop = asyncio.get_running_loop()
        delay = max(0.0, when - time.monotonic())
        return loop.call_later(delay, callback, context=self._context)

    def attach(self, rest: Rest) -> None:
        """Real time passes by itself."""

    def detach(self, rest: Rest) -> None:
        """Real time passes by itself."""
