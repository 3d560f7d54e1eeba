"""LISTEN and NOTIFY: how processes wake one another. Whatever gets lost, a poll finds.

Notifications go out after the commit that they tell of, in a transaction of their own on the
listening connection: inside the batch they would make the commits of all processes queue up behind
one lock of the server. While one is on its way, the next ones become one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from unbroken.model.clock import Clock
from unbroken.model.errors import UnbrokenError
from unbroken.stores.postgresql.driver import Connection
from unbroken.stores.postgresql.faults import Complaint

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
GLANCE = 0.03

REGROUP, WAKE = "regroup", "wake"

logger = logging.getLogger("unbroken.store")


class NotifyBus:
    """Hears of other processes' writes, and tells them of ours."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        notify: str,
        channel: str,
        clock: Clock,
    ) -> None:
        self._connect = connect
        self._channel = channel
        self._notify = notify
        self._clock = clock
        self._wish: str | None = None
        self._wished = asyncio.Event()

    async def listen(self, wake: Callable[[], None], regroup: Callable[[], None]) -> None:
        """Call `wake` when another process wrote; runs until cancelled, whatever gets lost."""
        pause = FIRST_PAUSE
        while True:
            connection: Connection | None = None
            try:
                connection = await self._connect()
                hear = _Ear(connection.get_server_pid(), wake, regroup)
                await connection.add_listener(self._channel, hear)
                pause = FIRST_PAUSE
                # What was told while nobody listened is found by looking.
                wake()
                regroup()
                await self._tell_until_lost(connection)
            except (*Complaint, UnbrokenError) as error:
                logger.warning("wake-ups between processes: %s", error)
            finally:
                if connection is not None:
                    connection.terminate()
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def tell(self, *, regroup: bool = False) -> None:
        """Let the others know, soon, that something was written."""
        self._wish = REGROUP if regroup or self._wish == REGROUP else WAKE
        self._wished.set()

    async def _tell_until_lost(self, connection: Connection) -> None:
        lost = asyncio.get_running_loop().create_future()
        connection.add_termination_listener(
            lambda _: None if lost.done() else lost.set_result(None)
        )
        while not lost.done():
            wished = asyncio.ensure_future(self._wished.wait())
            try:
                await asyncio.wait((wished, lost), return_when=asyncio.FIRST_COMPLETED)
            finally:
                wished.cancel()
                with suppress(asyncio.CancelledError):
                    await wished
            if self._wish is not None and not lost.done():
                wish, self._wish = self._wish, None
                self._wished.clear()
                await connection.execute(self._notify, self._channel, wish)


class GlancingBus:
    """Looks whenever time moves: what a clock that a test moves can know of notifications."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def listen(self, wake: Callable[[], None], regroup: Callable[[], None]) -> None:
        """Call both a moment after time moved; runs until cancelled."""
        while True:
            await self._clock.sleep(GLANCE)
            wake()
            regroup()


class _Ear:
    """What happens when somebody else tells something."""

    def __init__(self, own: int, wake: Callable[[], None], regroup: Callable[[], None]) -> None:
        self._own = own
        self._wake = wake
        self._regroup = regroup

    def __call__(self, _: object, sender: int, __: str, wish: object) -> None:
        if sender == self._own:
            return
        if wish == REGROUP:
            self._regroup()
        self._wake()
