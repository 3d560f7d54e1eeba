"""Processes that end with a write: it landed, and they are not told of it any more."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from tests.flows.apps import LEASE, Apps, loose
from unbroken.stores.batch import Batch
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)


class Dying:
    """An app whose process ends with a write that it is not told of any more."""

    def __init__(self, apps: Apps, is_last: Callable[[Batch], bool]) -> None:
        self.clock = VirtualClock()
        self.app = apps(clock=self.clock)
        self._is_last: Callable[[Batch], bool] | None = is_last
        self._is_dead, self._is_buried = asyncio.Event(), asyncio.Event()
        self._left: asyncio.Task[Any] | None = None
        store = loose(self.app)._store
        self._commit, store.commit = store.commit, self._commit_and_die

    async def _commit_and_die(self, batch: Batch) -> Any:
        receipt = await self._commit(batch)
        if self._is_last is not None and self._is_last(batch):
            self._is_last = None
            self._is_dead.set()
            await self._is_buried.wait()
        return receipt

    async def run(self, definition: Any) -> None:
        """Start a flow and return once the process is dead."""
        await self.use(definition, lambda flows: flows.schedule("a"))

    async def use(self, definition: Any, use: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
        """Use flows, and return once the process is dead."""
        flows = self.app.register(definition)
        await self.app.start()
        self._left = asyncio.create_task(use(flows))
        await self._is_dead.wait()

    async def take_over(self, definition: Any) -> None:
        """Take over the flow of a dead process, and return once this one is dead too."""
        self.app.register(definition)
        await self.app.start()
        self._left = asyncio.create_task(self.clock.advance(LEASE + SECOND))
        await self._is_dead.wait()

    def bury(self) -> None:
        """Let what is left of the process end."""
        self._is_buried.set()
        if self._left is not None:
            self._left.cancel()


def nth(number: int) -> Callable[[Batch], bool]:
    """The n-th write that tells of a flow."""
    left = number

    def is_last(batch: Batch) -> bool:
        nonlocal left
        if batch.states or batch.records or batch.starts or batch.changes:
            left -= 1
        return left == 0

    return is_last


def writes(key: str) -> Callable[[Batch], bool]:
    """The write of an effect."""
    return lambda batch: any(record.effect.key == key for record in batch.records)
