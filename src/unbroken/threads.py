"""Threads for the bodies of effects that are plain functions.

They are daemons: a function that never returns keeps no stopped process alive, which the standard
library's pool would do. Started one by one as they are needed, up to a limit.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue


class _Call:
    """A call on its way to a thread, and its answer on the way back."""

    __slots__ = ("_call", "_loop", "future")

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[object] = self._loop.create_future()

    def run(self) -> None:
        """Run in the thread, unless nobody waits any more; tell the event loop."""
        if self.future.done():
            return
        result: object = None
        error: BaseException | None = None
        try:
            result = self._call()
        except StopIteration as raised:  # no future can carry it; a coroutine turns it into this
            error = RuntimeError("the function raised StopIteration")
            error.__cause__ = raised
        except BaseException as raised:  # noqa: BLE001  it belongs to who waits
            error = raised
        try:
            self._loop.call_soon_threadsafe(self._settle, result, error)
        except RuntimeError:  # the event loop is closed: nobody waits any more
            return

    def _settle(self, result: object, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


class EffectThreads:
    """Runs calls in threads, at most `limit` at a time; the others wait in a queue."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._idle = threading.Semaphore(0)
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()

    async def run(self, call: Callable[[], object]) -> object:
        """Run a call and give what it returns or raises; one that is cancelled may not begin."""
        handed = _Call(call)
        self._queue.put(handed)
        if not self._idle.acquire(blocking=False) and self._count < self._limit:
            self._count += 1
            name = f"unbroken-effect-{self._count}"
            threading.Thread(target=self._main, name=name, daemon=True).start()
        return await handed.future

    def close(self) -> None:
        """Begin no more calls; those that run are left alone."""
        while True:
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                break
            if waiting is not None:
                waiting.future.cancel()
        for _ in range(self._count):
            self._queue.put(None)

    def _main(self) -> None:
        while True:
            try:
                call = self._queue.get_nowait()
            except Empty:
                self._idle.release()
                call = self._queue.get()
            if call is None:
                return
            call.run()
            del call
