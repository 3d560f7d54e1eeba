"""The real SQLite store behind a simulated network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tests.crash.crashing_store import DelegatingStore, contents_of
from tests.simulation.network import Network, drive
from tests.simulation.trouble import SharedConnection
from unbroken.model.errors import StoreError
from unbroken.stores.batch import Batch, Receipt
from unbroken.stores.pulse import Pulse
from unbroken.stores.store import Amendment, Store

T = TypeVar("T")


class SimulatedBus:
    """Wake-ups that may be lost, late, doubled, or out of order."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def listen(self, wake: Callable[[], None], regroup: Callable[[], None]) -> None:
        self._network.listen(wake, regroup)
        await self._network.loop.create_future()


class SimulatedStore(DelegatingStore):
    """One replica's way to the database. Its beats travel like everything else."""

    def __init__(
        self, inner: Store, network: Network, tell: Callable[[str, str, object], None]
    ) -> None:
        super().__init__(inner)
        self._network = network
        self._tell = tell
        time: Any = _LoopTime(network.loop)
        self._pulse = Pulse(time)
        self._beating: asyncio.Task[None] | None = None
        self.app: Any = None
        """Whose store it is, for those who look into memories."""

    async def _pass(self, what: str, operation: Awaitable[T]) -> T:
        if what in {"open", "close"}:
            return await operation
        return await self._network.carry(what, operation)

    def bus(self) -> Any:
        return SimulatedBus(self._network)

    # beats

    async def register(self, replica: str, lease: int = 0) -> int:
        sent = self._network.loop.time()
        work = self.inner.register
        self._network.watch.registers(replica, self.app)
        at = await self._network.carry(
            "register", work(replica, lease), again=lambda: work(replica, lease)
        )
        self._pulse.registered(sent)
        self._network.was_heard(sent)
        self._network.tell(regroup=True)
        return at

    async def beat(self, replica: str) -> bool:
        sent = self._network.loop.time()
        work = self.inner.beat
        alive = await self._network.carry("beat", work(replica), again=lambda: work(replica))
        if alive:
            self._pulse.succeeded(replica, sent)
            self._network.was_heard(sent)
        return alive

    async def settle(self, replica: str, target: int) -> int | None:
        work = self.inner.settle
        batch = await self._network.carry(
            "settle", work(replica, target), again=lambda: work(replica, target)
        )
        self._network.watch.settled(replica, batch)
        return batch

    def beat_every(self, replica: str | None, seconds: float, lost: Callable[[], None]) -> None:
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None
        self._pulse.begin(replica, seconds, lost)
        if replica is not None:
            self._beating = asyncio.create_task(self._keep_beating())

    def last_beat(self) -> float:
        return self._pulse.last

    async def _keep_beating(self) -> None:
        while (pause := self._pulse.wait()) is not None:
            if pause > 0:
                await asyncio.sleep(pause)
            else:
                await self._beat_once()

    async def _beat_once(self) -> None:
        replica = self._pulse.replica
        assert replica is not None
        try:
            alive = await self.beat(replica)
        except StoreError:
            self._pulse.failed()
            return
        if not alive and self._pulse.replica == replica:
            self._network.watch.note("beat: the row was gone")
            self._pulse.stop()

    # batches and operators

    async def amend(self, flow: int, version: int, amendment: Amendment) -> bool:
        is_done = await super().amend(flow, version, amendment)
        if is_done and amendment.restarts:
            self._network.watch.note("flow: restarted by an operator")
        return is_done

    async def commit(self, batch: Batch) -> Receipt | None:
        sent = self._network.loop.time()
        work = self.inner.commit
        what = f"commit {contents_of(batch)}"
        receipt = await self._network.carry(what, work(batch), batch, lambda: work(batch))
        self._tell("fenced" if receipt is None else "landed", batch.replica, batch.number)
        if receipt is not None:
            self._pulse.succeeded(batch.replica, sent)
            self._network.was_heard(sent)
        if batch.starts or batch.changes or batch.last:
            self._network.tell()
        return receipt


class _LoopTime:
    """The time of the process, as far as a pulse asks for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.monotonic = loop.time


__all__ = ["Network", "SharedConnection", "SimulatedBus", "SimulatedStore", "drive"]
