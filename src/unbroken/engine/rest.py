"""Knows whether the engine has anything to do before time passes; virtual time moves only then."""

from __future__ import annotations

import asyncio


class Rest:
    """Counts what is under way: queued writes, running incarnations, polls."""

    __slots__ = ("_busy", "_waiters")

    def __init__(self) -> None:
        self._busy = 0
        self._waiters: list[asyncio.Future[None]] = []

    def begin(self) -> None:
        """Something starts to be under way."""
        self._busy += 1

    def end(self) -> None:
        """It is over."""
        self._busy -= 1
        if self._busy == 0:
            self._tell()

    def abandon(self) -> None:
        """The engine is gone: what was under way will not come to its end."""
        self._busy = 0
        self._tell()

    def _tell(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    @property
    def is_busy(self) -> bool:
        """Whether something is under way."""
        return self._busy > 0

    async def wait(self) -> None:
        """Return once nothing is under way."""
        while self._busy > 0:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
