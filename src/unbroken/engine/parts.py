"""Keeps the engine's loops alive: one that fails unexpectedly is reported and begun again.

A loop that died in silence would leave every flow of the process standing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from unbroken.engine.events import Event, Events, logger
from unbroken.engine.rest import Rest
from unbroken.model.clock import Clock

Part = Callable[[], Coroutine[Any, Any, None]]

PAUSE_AFTER_FAILURE = 1.0


class Parts:
    """The background tasks of one engine."""

    def __init__(self, clock: Clock, events: Events, rest: Rest) -> None:
        self._clock = clock
        self._events = events
        self._rest = rest
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, part: Part) -> None:
        """Run a part until it returns or `end` is called."""
        task = asyncio.create_task(self._keep_running(part))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_running(self, part: Part) -> None:
        while True:
            try:
                return await part()
            except Exception as error:  # noqa: BLE001  a part must not die in silence
                logger.exception("a part of the engine failed")
                text = f"{part.__qualname__} failed with {type(error).__name__} and begins again"
                self._events.emit(Event("engine.part_failed", text, level=logging.CRITICAL))
                with self._rest.pause():
                    await self._clock.sleep(PAUSE_AFTER_FAILURE)

    async def end(self) -> None:
        """Cancel all parts and see them end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
