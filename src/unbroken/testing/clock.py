"""Virtual time: a year passes in a moment, and every timer fires in its order.

Time moves only in `advance`. Before each move everything that runs comes to rest; then time jumps
to the next instant that a flow waits for. Housekeeping (polls, beats) fires once per jump, however
far it is, as after a laptop's sleep.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from unbroken.model.clock import Rest, instant_of

SETTLING_ROUNDS = 20


class _Timer:
    __slots__ = ("callback", "cancelled", "is_awaited", "order", "when")

    def __init__(
        self, when: float, order: int, callback: Callable[[], None], *, is_awaited: bool
    ) -> None:
        self.when = when
        self.order = order
        self.callback = callback
        self.is_awaited = is_awaited
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def __lt__(self, other: _Timer) -> bool:
        return (self.when, self.order) < (other.when, other.order)


class VirtualClock:
    """A clock that stands still until it is told to move.

    ```python
    clock = VirtualClock()
    app = Unbroken("sqlite://", clock=clock)
    async with app:
        trial = await trials.schedule("ann", "ann@example.org")
        await clock.advance(timedelta(days=30))
    ```
    """

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._start = instant_of(start)
        self._elapsed = 0.0
        self._timers: list[_Timer] = []
        self._order = 0
        self._rests: list[Rest] = []

    # the Clock protocol

    def now(self) -> int:
        """Give the virtual instant."""
        return self._start + round(self._elapsed * 1_000_000)

    def monotonic(self) -> float:
        """Give virtual seconds since the clock was made."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait for housekeeping."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self._add(self._elapsed + seconds, lambda: _wake(woken), is_awaited=False)
        try:
            await woken
        finally:
            timer.cancel()

    def call_at(self, when: float, callback: Callable[[], None]) -> _Timer:
        """Call back at a virtual time because a flow waits for it."""
        if when <= self._elapsed:
            timer = _Timer(when, 0, callback, is_awaited=True)
            asyncio.get_running_loop().call_soon(_fire, timer)
            return timer
        return self._add(when, callback, is_awaited=True)

    def attach(self, rest: Rest) -> None:
        """Learn of an engine that lives by this clock."""
        self._rests.append(rest)

    def detach(self, rest: Rest) -> None:
        """Forget an engine."""
        self._rests.remove(rest)

    def _add(self, when: float, callback: Callable[[], None], *, is_awaited: bool) -> _Timer:
        self._order += 1
        timer = _Timer(when, self._order, callback, is_awaited=is_awaited)
        heapq.heappush(self._timers, timer)
        return timer

    # for tests

    async def settle(self) -> None:
        """Return once nothing more happens without time moving."""
        quiet = 0
        while quiet < SETTLING_ROUNDS:
            quiet += 1
            for rest in list(self._rests):
                if rest.is_busy:
                    quiet = 0
                    await rest.wait()
            await _next_round()

    async def advance(self, duration: timedelta) -> None:
        """Move time on, from one awaited instant to the next, letting everything come to rest."""
        target = self._elapsed + duration.total_seconds()
        await self.settle()
        while (upcoming := self._next_awaited()) is not None and upcoming <= target:
            await self._jump(upcoming)
        await self._jump(target)

    async def run_until(self, awaitable: asyncio.Future[Any]) -> None:
        """Move time on until a future is done; fails if nothing more would ever happen."""
        await self.settle()
        while not awaitable.done():
            upcoming = self._next_awaited()
            if upcoming is None:
                msg = "nothing waits for time any more, and the future is not done"
                raise AssertionError(msg)
            await self._jump(upcoming)

    def _next_awaited(self) -> float | None:
        awaited = (t.when for t in self._timers if t.is_awaited and not t.cancelled)
        return min(awaited, default=None)

    async def _jump(self, target: float) -> None:
        self._elapsed = max(self._elapsed, target)
        due: list[_Timer] = []
        while self._timers and self._timers[0].when <= self._elapsed:
            due.append(heapq.heappop(self._timers))
        for timer in due:
            _fire(timer)
        await self.settle()


def _fire(timer: _Timer) -> None:
    if not timer.cancelled:
        timer.cancelled = True
        timer.callback()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _next_round() -> None:
    """Let everything that is ready run once."""
    passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(passed.set_result, None)
    await passed
