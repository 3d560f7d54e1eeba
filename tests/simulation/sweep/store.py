"""One process's way to the store. Its beats travel like all else, and count from when they left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from tests.crash.crashing_store import DelegatingStore, contents_of
from tests.simulation.sweep.network import More, Network
from unbroken.model.bus import Bus
from unbroken.model.errors import OutcomeUnknown, StoreUnavailable
from unbroken.stores.batch import Batch, Receipt
from unbroken.stores.store import Store

T = TypeVar("T")
LONGEST_RETRY = 1.0


class Witness(Protocol):
    """Who takes down what became of batches."""

    def answered(self, batch: Batch, receipt: Receipt | None) -> None:
        """A process heard whether its batch landed."""
        ...

    def landed(self, batch: Batch) -> None:
        """A batch landed at this moment, whether anybody hears of it or not."""
        ...


class SweptStore(DelegatingStore):
    """Sends every operation over the network."""

    def __init__(self, inner: Store, network: Network, witness: Witness) -> None:
        super().__init__(inner)
        self._network = network
        self._witness = witness
        self._last = 0.0
        self._beating: asyncio.Task[None] | None = None

    async def _pass(self, what: str, operation: Awaitable[T]) -> T:
        return await self._network.carry(what, operation)

    async def open(self) -> None:
        """The store is there, whoever comes."""

    async def close(self) -> None:
        """The store stays, whoever leaves."""
        self.beat_every(None, 0, _nothing)

    def bus(self) -> Bus:
        return SweptBus(self._network)

    async def register(self, replica: str, lease: int = 0) -> int:
        sent = self._network.loop.time()
        heard: More[int] = More(applied=lambda _: True)
        at = await self._network.carry("register", self.inner.register(replica, lease), heard)
        self._last = sent
        return at

    async def beat(self, replica: str) -> bool:
        sent = self._network.loop.time()
        alive = await super().beat(replica)
        if alive:
            self._last = max(self._last, sent)
        return alive

    def beat_every(self, replica: str | None, seconds: float, lost: Callable[[], None]) -> None:
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None
        if replica is not None:
            self._beating = asyncio.create_task(self._keep_beating(replica, seconds, lost))

    async def _keep_beating(self, replica: str, seconds: float, lost: Callable[[], None]) -> None:
        while True:
            pause = self._last + seconds - self._network.loop.time()
            if pause > 0:
                await asyncio.sleep(pause)
                continue
            try:
                alive = await self.beat(replica)
            except (StoreUnavailable, OutcomeUnknown):
                await asyncio.sleep(min(seconds, LONGEST_RETRY))
                continue
            if not alive:
                lost()
                return

    def last_beat(self) -> float:
        return self._last

    async def commit(self, batch: Batch) -> Receipt | None:
        sent = self._network.loop.time()

        def applied(receipt: Receipt | None) -> bool:
            if receipt is not None:
                self._witness.landed(batch)
            return receipt is not None and bool(batch.starts or batch.changes or batch.last)

        more = More(lambda: _coroutine(self.inner.commit(batch)), applied)
        what = f"commit {contents_of(batch)}"
        receipt = await self._network.carry(what, self.inner.commit(batch), more)
        if receipt is not None:
            self._last = max(self._last, sent)
        self._witness.answered(batch, receipt)
        return receipt


class SweptBus:
    """Wake-ups that arrive, but for those of an operation that is told nobody."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def listen(self, wake: Callable[[], None], regroup: Callable[[], None]) -> None:
        self._network.listen(wake, regroup)
        await self._network.loop.create_future()


async def _coroutine(awaited: Awaitable[T]) -> T:
    return await awaited


def _nothing() -> None: ...
