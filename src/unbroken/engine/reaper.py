"""Notices the death of other replicas: a row whose lease is over on the store's clock is deleted.

It looks when the earliest lease could end, so a group of healthy replicas is quiet, and a dead one
is found within moments of its lease; sooner, if the bus knows of a death.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from unbroken.engine.events import Event
from unbroken.engine.services import Services
from unbroken.model.errors import StoreError

MARGIN = 0.05


class Reaper:
    """Deletes dead replicas and says whose flows are orphans."""

    def __init__(self, services: Services, on_dead: Callable[[tuple[str, ...]], None]) -> None:
        self._services = services
        self._on_dead = on_dead
        self._asked = asyncio.Event()

    def look(self) -> None:
        """Look at once: a replica came, or is known to have died."""
        self._asked.set()

    async def run(self) -> None:
        """Look and wait for the next lease that could end, until cancelled."""
        services = self._services
        backoff = services.backoff()
        while True:
            services.rest.begin()
            try:
                pause = await self._look()
                backoff.reset()
            except StoreError as error:
                services.replica.report_unavailable(error)
                await backoff.pause()
                continue
            finally:
                services.rest.end()
            await self._nap(pause)

    async def _nap(self, seconds: float) -> None:
        nap = asyncio.create_task(self._services.clock.sleep(seconds))
        asked = asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait((nap, asked), return_when=asyncio.FIRST_COMPLETED)
        finally:
            nap.cancel()
            asked.cancel()
        self._asked.clear()

    async def _look(self) -> float:
        lease = self._services.settings.lease
        reaped = await self._services.store.reap(self._services.replica.id, int(lease * 1_000_000))
        if reaped.removed:
            text = f"{reaped.removed} replica(s) stopped beating and were declared dead"
            self._services.events.emit(Event("replica.reaped", text))
        if reaped.dead:
            self._on_dead(reaped.dead)
        if reaped.next_expiry is None:
            return lease
        until_expiry = (reaped.next_expiry - reaped.at) / 1_000_000
        return min(max(until_expiry, 0.0) + MARGIN, lease)
