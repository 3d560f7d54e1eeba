"""Knows whether the engine has anything to do before time passes; virtual time moves only then."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager


class Rest:
    """Counts what is under way: queued writes, running incarnations, polls.

    Who pauses because the store does not answer waits for time, and all who wait for it do so too.
    """

    __slots__ = ("_busy", "_pauses", "_waiters")

    def __init__(self) -> None:
        self._busy = 0
        self._pauses = 0
        self._waiters: list[asyncio.Future[None]] = []

    def begin(self) -> None:
        """Something starts to be under way."""
        self._busy += 1

    def end(self) -> None:
        """It is over."""
        self._busy -= 1
        if self._busy == 0:
            self._tell()

    @contextmanager
    def pause(self) -> Generator[None]:
        """Nothing goes on meanwhile, unless time passes."""
        self._pauses += 1
        self._tell()
        try:
            yield
        finally:
            self._pauses -= 1

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
        return self._busy > 0 and self._pauses == 0

    async def wait(self) -> None:
        """Return once nothing is under way."""
        while self.is_busy:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
