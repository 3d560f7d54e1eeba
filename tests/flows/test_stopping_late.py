"""A stop that gave up waiting: what the store answers afterwards begins nothing."""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import TypeVar

from tests.crash.crashing_store import DelegatingStore
from tests.flows.apps import AT_ONCE, Apps, jump, loose
from tests.stores.driver import Driver, note
from unbroken import flow, message
from unbroken.model.records import Claimed
from unbroken.stores.batch import Append, Batch, Receipt, Suspend
from unbroken.stores.store import Store

T = TypeVar("T")


class SlowToLoad(DelegatingStore):
    """Lets a message come before each suspension, and takes its time to read a flow again."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self._stranger: Driver | None = None

    async def _pass(self, what: str, operation: Awaitable[T]) -> T:
        return await operation

    async def commit(self, batch: Batch) -> Receipt | None:
        if any(isinstance(part, Suspend) for part in batch.changes) and self._stranger is None:
            await self.inner.register("stranger")
            self._stranger = Driver(self.inner, "stranger")
            await self._stranger.commit(changes=(Append("waiting", "a", (note("m"),)),))
        return await self.inner.commit(batch)

    async def load(self, replica: str, numbers: Sequence[int]) -> tuple[Claimed, ...]:
        self.asked.set()
        await self.answers.wait()
        return await self.inner.load(replica, numbers)

    async def close(self) -> None:
        """Answer what is still asked, and only then close."""
        self.answers.set()
        for _ in range(20):
            await asyncio.sleep(0)
        await self.inner.close()


async def test_a_flow_read_again_after_the_stop_gave_up_does_not_begin(apps: Apps) -> None:
    begun: list[int] = []

    @flow
    async def waiting() -> None:
        begun.append(1)
        await message(str)

    app = apps(suspend_after=AT_ONCE)
    store = SlowToLoad(app._store)
    loose(app)._store = store
    flows = app.register(waiting)
    await app.start()
    await flows.schedule("a")
    await store.asked.wait()
    stopping = asyncio.create_task(app.stop(AT_ONCE))
    jumps = [asyncio.create_task(jump(apps.clock, timedelta(minutes=1))) for _ in range(2)]
    await stopping
    await asyncio.gather(*jumps)
    for _ in range(20):
        await asyncio.sleep(0)
    assert begun == [1]
