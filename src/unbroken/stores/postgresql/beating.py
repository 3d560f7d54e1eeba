"""The beat: from a thread and connection of its own, so that a blocked event loop does not kill."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from unbroken.model.errors import StoreError
from unbroken.stores.pulse import Pulse

Beat = Callable[[str], Awaitable[bool]]
Sleep = Callable[[float], Awaitable[None]]

logger = logging.getLogger("unbroken.store")


async def keep_beating(pulse: Pulse, beat: Beat, sleep: Sleep) -> None:
    """Beat whenever it is due, until the pulse stops or is told to."""
    while (pause := pulse.wait()) is not None:
        if pause > 0:
            await sleep(pause)
            continue
        replica = pulse.replica
        if replica is None:
            return
        try:
            alive = await beat(replica)
        except StoreError as error:
            logger.warning("the beat of replica %s failed: %s", replica, error)
            pulse.failed()
            continue
        if not alive and pulse.replica == replica:
            pulse.stop()


class BeatThread:
    """A thread with an event loop that beats and does nothing else."""

    def __init__(self, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._run = run
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="unbroken-beat", daemon=True)
        self._thread.start()
        self._ready.wait()

    def _main(self) -> None:
        try:
            asyncio.run(self._beat())
        except asyncio.CancelledError:
            pass
        except Exception:
            logger.exception("the thread that beats has ended")
        finally:
            self._ready.set()

    async def _beat(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._ready.set()
        await self._run()

    async def stop(self) -> None:
        """End the thread, and return when it has ended."""
        loop, task = self._loop, self._task
        if loop is not None and task is not None and not loop.is_closed():
            with suppress(RuntimeError):  # it ended by itself this very moment
                loop.call_soon_threadsafe(task.cancel)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
