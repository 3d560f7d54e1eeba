"""A clock that stands still until a test moves it."""

import asyncio
from collections.abc import Callable

from unbroken.model.clock import Alarm, Rest

SECOND = 1_000_000


class _Alarm:
    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeClock:
    def __init__(self) -> None:
        self.instant = 1_800_000_000 * SECOND
        self.seconds = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._alarms: list[tuple[float, _Alarm, Callable[[], None]]] = []

    def now(self) -> int:
        return self.instant

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.seconds + seconds, future))
        await future

    def call_at(self, when: float, callback: Callable[[], None]) -> Alarm:
        alarm = _Alarm()
        self._alarms.append((when, alarm, callback))
        return alarm

    def attach(self, rest: Rest) -> None: ...

    def detach(self, rest: Rest) -> None: ...

    async def advance(self, seconds: float) -> None:
        """Move both clocks, wake who slept until then, and let them run."""
        self.seconds += seconds
        self.instant += round(seconds * SECOND)
        for sleeper in [one for one in self._sleepers if one[0] <= self.seconds]:
            self._sleepers.remove(sleeper)
            if not sleeper[1].done():
                sleeper[1].set_result(None)
        for alarm in [one for one in self._alarms if one[0] <= self.seconds]:
            self._alarms.remove(alarm)
            if not alarm[1].is_cancelled:
                alarm[2]()
        await self.settle()

    @staticmethod
    async def settle() -> None:
        """Let every task run that can."""
        for _ in range(10):
            await asyncio.sleep(0)
