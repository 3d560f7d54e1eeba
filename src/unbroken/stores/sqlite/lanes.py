"""Where a session's calls run: in one thread of its own, or on the event loop.

A call that was handed over runs to its end, whatever becomes of the task that waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from unbroken.model.errors import StoreUnavailable

T = TypeVar("T")
logger = logging.getLogger("unbroken.store")

PAUSE_AFTER_FAILURE = 1.0


class Lane(Protocol):
    """Runs one call at a time, in the order they came."""

    async def run(self, call: Callable[[], T]) -> T:
        """Run the call and give what it returns or raises."""
        ...

    def post(self, call: Callable[[], None]) -> None:
        """Run the call in its turn; nobody waits for it. Nothing happens after the close."""
        ...

    async def close(self, last: Callable[[], None]) -> None:
        """Run what was handed over, then `last`, then nothing any more."""
        ...


class InlineLane:
    """Runs calls at once on the event loop: no thread, no surprise."""

    def __init__(self) -> None:
        self._closed = False

    async def run(self, call: Callable[[], T]) -> T:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return call()

    def post(self, call: Callable[[], None]) -> None:
        if not self._closed:
            call()

    async def close(self, last: Callable[[], None]) -> None:
        if not self._closed:
            self._closed = True
            last()


class _Posted:
    """A call that nobody waits for."""

    __slots__ = ("answer",)

    def __init__(self, answer: Callable[[], None]) -> None:
        self.answer = answer


class _Call:
    """A call on its way to the thread and its answer on the way back."""

    __slots__ = ("future", "loop", "run")

    def __init__(self, run: Callable[[], Any]) -> None:
        self.run = run
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()

    def answer(self) -> None:
        """Run in the thread; tell the event loop."""
        result: object = None
        error: BaseException | None = None
        try:
            result = self.run()
        except BaseException as raised:  # noqa: BLE001 - it belongs to who waits, not to the thread
            error = raised
        try:
            self.loop.call_soon_threadsafe(self._settle, result, error)
        except RuntimeError:  # the event loop is closed: nobody waits any more
            return

    def _settle(self, result: object, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


class ThreadLane:
    """Runs calls in a thread. Between calls `between` runs there; it says when to run again."""

    def __init__(self, name: str, between: Callable[[], float | None]) -> None:
        self._between = between
        self._queue: SimpleQueue[_Call | _Posted | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._process = os.getpid()
        self._closed = False

    async def run(self, call: Callable[[], T]) -> T:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._process != os.getpid():
            raise StoreUnavailable("the store was opened before a fork: open one in this process")
        if self._thread.ident is None:
            self._thread.start()
        handed = _Call(call)
        self._queue.put(handed)
        return await handed.future

    def post(self, call: Callable[[], None]) -> None:
        if not self._closed and self._process == os.getpid():
            self._queue.put(_Posted(call))

    async def close(self, last: Callable[[], None]) -> None:
        if self._closed:
            return
        started = self._thread.ident is not None and self._process == os.getpid()
        try:
            if started:
                await self.run(last)
        finally:
            self._closed = True
            if started:
                self._queue.put(None)
                self._thread.join()

    def _main(self) -> None:
        wait: float | None = None
        while True:
            try:
                call = self._queue.get(timeout=wait)
            except Empty:
                pass
            else:
                if call is None:
                    return
                call.answer()
                del call
            try:
                wait = self._between()
            except Exception:
                # A thread that dies would leave every later call without an answer.
                logger.exception("%s failed between two calls", self._thread.name)
                wait = PAUSE_AFTER_FAILURE
