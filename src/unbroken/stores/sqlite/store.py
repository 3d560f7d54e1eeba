"""SQLite as a store: which call runs in which transaction and in which thread.

A file has one thread that writes and one that reads, each with its own connection. A database in
memory has one connection, used on the event loop itself: deterministic, for tests.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from unbroken.model.bus import Bus, SilentBus
from unbroken.model.clock import Clock
from unbroken.model.errors import OutcomeUnknown, StoreError, StoreUnavailable
from unbroken.model.records import Claimed, Effect, FlowRef, Outcome, Reply, Status
from unbroken.stores.batch import Batch, Receipt
from unbroken.stores.pulse import Pulse
from unbroken.stores.sql import as_sql
from unbroken.stores.sqlite.bus import WalBus
from unbroken.stores.sqlite.connection import (
    BUSY_SECONDS,
    READER,
    WRITER,
    Connect,
    Session,
    Work,
    connect,
)
from unbroken.stores.sqlite.examining import examine
from unbroken.stores.sqlite.lanes import InlineLane, Lane, ThreadLane
from unbroken.stores.sqlite.lock import WriterLock
from unbroken.stores.sqlite.schema import MIGRATIONS, check_version, has_wal_reset_bug, migrate
from unbroken.stores.store import (
    Amendment,
    Finding,
    FlowView,
    Inbox,
    Place,
    Poll,
    Question,
    Reaped,
    State,
)
from unbroken.stores.transactions import operators, reads, replicas
from unbroken.stores.transactions.batches import Fenced, SomeRefused, apply, is_quiet

T = TypeVar("T")
logger = logging.getLogger("unbroken.store")


class SqliteStore:
    """One SQLite database. `path` None: private, in memory, gone when it is closed."""

    def __init__(
        self,
        path: str | None,
        *,
        clock: Clock,
        connect: Connect = connect,
        patience: float = BUSY_SECONDS,
    ) -> None:
        self._clock = clock
        self._path = path
        self._in_memory = path is None
        self._pulse = Pulse(clock)
        self._beating: asyncio.Task[None] | None = None
        # SQLite puts its own files beside the file that a link leads to.
        place = ":memory:" if path is None else os.path.realpath(path)
        self._lock = WriterLock(place, patience)
        if path is None:
            self._writer = self._reader = Session(
                place, (), clock=clock, lock=self._lock, connect=connect
            )
        else:
            self._writer = Session(place, WRITER, clock=clock, lock=self._lock, connect=connect)
            self._reader = Session(place, READER, clock=clock, lock=self._lock, connect=connect)
        self._writes, self._reads = self._lanes()

    def _lanes(self) -> tuple[Lane, Lane]:
        if self._in_memory:
            lane = InlineLane()
            return lane, lane
        writes = ThreadLane("unbroken-writer", self._between_writes)
        return writes, ThreadLane("unbroken-reader", _nothing)

    @property
    def durability(self) -> str:
        if self._in_memory:
            return "nothing: the database is in memory and ends with the store"
        return "power loss (SQLite, WAL, synchronous=FULL)"

    @property
    def is_durable(self) -> bool:
        return True  # in memory everything ends together, effects and what they did to a test

    async def examine(self) -> tuple[Finding, ...]:
        if self._path is None:
            return (Finding("place", "in memory"), Finding("durability", self.durability))
        return await asyncio.to_thread(examine, self._path)

    def migrations(self) -> str:
        return as_sql(MIGRATIONS)

    async def open(self) -> None:
        check_version()
        if not self._in_memory and has_wal_reset_bug(sqlite3.sqlite_version_info):
            logger.info(
                "SQLite %s has the WAL-reset bug. A lock keeps processes of Unbroken safe from it; "
                "other programs that write or checkpoint the same file are not. "
                "Use 3.51.3, 3.50.7, 3.44.6 or newer.",
                sqlite3.sqlite_version,
            )
        self._writes, self._reads = self._lanes()
        try:
            await self._writes.run(self._open)
            await self._reads.run(self._reader.open)
        except BaseException:
            await self.close()
            raise

    def _open(self) -> None:
        if not self._in_memory:
            self._lock.open()
        self._writer.write(migrate)

    async def close(self) -> None:
        self.beat_every(None, 0, _nothing)
        if self._reads is not self._writes:
            await self._reads.close(self._reader.close)
        await self._writes.close(self._close)

    def _close(self) -> None:
        try:
            with self._lock:
                self._writer.close()
        except StoreError:
            self._writer.close()
        self._lock.close()

    def bus(self) -> Bus:
        return SilentBus() if self._in_memory else WalBus(self._lock, self._clock)

    # replicas

    async def register(self, replica: str, lease: int = 0) -> int:
        def register() -> int:
            # Before the row is there to be looked for, or it would look dead.
            self._lock.join(replica)
            at = self._attempt(lambda tx: replicas.register(tx, replica, lease), quiet=True)
            self._pulse.registered(sent)
            return at

        sent = self._clock.monotonic()
        return await self._writes.run(register)

    async def beat(self, replica: str) -> bool:
        sent = self._clock.monotonic()
        return await self._writes.run(lambda: self._beat(replica, sent))

    def _beat(self, replica: str, sent: float) -> bool:
        alive = self._attempt(lambda tx: replicas.beat(tx, replica), quiet=True)
        if alive:
            self._pulse.succeeded(replica, sent)
        return alive

    def beat_every(self, replica: str | None, seconds: float, lost: Callable[[], None]) -> None:
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None
        tell = lost
        if replica is not None:
            loop = asyncio.get_running_loop()
            tell = lambda: _call_in(loop, lost)  # noqa: E731 - a def would need a name
        self._writes.post(lambda: self._pulse.begin(replica, seconds, tell))
        if replica is not None and self._in_memory:
            self._beating = asyncio.create_task(self._keep_beating())

    async def _keep_beating(self) -> None:
        while (pause := self._pulse.wait()) is not None:
            if pause > 0:
                await self._clock.sleep(pause)
            else:
                self._beat_if_due()

    def _between_writes(self) -> float | None:
        """What the writing thread does when it has nothing to write: checkpoints and beats."""
        self._writer.checkpoint()
        self._beat_if_due()
        return self._pulse.wait()

    def _beat_if_due(self) -> None:
        replica = self._pulse.replica
        if replica is None or self._pulse.wait() != 0:
            return
        try:
            alive = self._beat(replica, self._clock.monotonic())
        except StoreError as error:
            logger.warning("the beat of replica %s failed: %s", replica, error)
            self._pulse.failed()
            return
        if not alive:
            self._pulse.stop()

    def last_beat(self) -> float:
        return self._pulse.last

    async def settle(self, replica: str, target: int) -> int | None:
        return await self._write(lambda tx: replicas.settle(tx, replica, target), quiet=True)

    async def reap(self, me: str, lease: int) -> Reaped:
        look = await self._read(lambda tx: replicas.look_for_dead(tx, me, lease), snapshot=True)
        if look.next_expiry is None:
            return look
        gone = self._lock.gone(await self._read(lambda tx: replicas.others(tx, me)))
        if look.next_expiry >= look.at and not gone:
            return look
        removed = await self._write(lambda tx: replicas.reap(tx, me, lease, gone))
        # A later transaction: what the dead wrote last is seen by who takes their flows.
        look = await self._read(lambda tx: replicas.look_for_dead(tx, me, lease), snapshot=True)
        return Reaped(look.at, removed, look.dead, look.next_expiry)

    # writes of a replica

    async def commit(self, batch: Batch) -> Receipt | None:
        sent = self._clock.monotonic()
        return await self._writes.run(lambda: self._commit(batch, sent))

    def _commit(self, batch: Batch, sent: float) -> Receipt | None:
        write, quiet = self._writer.write, is_quiet(batch)
        try:
            try:
                receipt = write(lambda tx: apply(tx, batch, one_by_one=False), quiet=quiet)
            except SomeRefused:
                receipt = write(lambda tx: apply(tx, batch, one_by_one=True), quiet=quiet)
        except Fenced:
            return None
        self._pulse.succeeded(batch.replica, sent)
        return receipt

    # reads

    async def poll(
        self,
        replica: str,
        types: Sequence[str],
        awaited: Sequence[int],
        asked: Sequence[Question] = (),
    ) -> Poll:
        return await self._read(lambda tx: reads.poll(tx, replica, types, awaited, asked))

    async def owned(self, replica: str) -> dict[int, int]:
        return await self._read(lambda tx: reads.owned(tx, replica))

    async def load(self, replica: str, numbers: Sequence[int]) -> tuple[Claimed, ...]:
        return await self._read(lambda tx: reads.load(tx, replica, numbers), snapshot=True)

    async def read_inbox(self, flow: int) -> Inbox | None:
        return await self._read(lambda tx: reads.read_inbox(tx, flow))

    async def find(self, type: str, id: str) -> Outcome | None:
        return await self._read(lambda tx: reads.find(tx, type, id))

    async def view(self, type: str, id: str) -> FlowView | None:
        return await self._read(lambda tx: reads.view(tx, type, id))

    async def read_effects(self, flow: int) -> tuple[Effect, ...]:
        return await self._read(lambda tx: reads.read_effects(tx, flow))

    async def read_state(self, type: str, id: str) -> State | None:
        return await self._read(lambda tx: reads.read_state(tx, type, id))

    async def read_reply(self, question: Question) -> Reply | None:
        return await self._read(lambda tx: reads.read_reply(tx, question))

    async def correlated(self, type: str, correlation: str) -> tuple[FlowRef, ...]:
        return await self._read(lambda tx: reads.correlated(tx, type, correlation))

    async def places(self, queue: str) -> tuple[Place, ...]:
        return await self._read(lambda tx: reads.places(tx, queue))

    async def list_flows(
        self, type: str, statuses: Sequence[Status], after: int, limit: int
    ) -> tuple[FlowView, ...]:
        return await self._read(lambda tx: reads.list_flows(tx, type, statuses, after, limit))

    # operators

    async def amend(self, flow: int, version: int, amendment: Amendment) -> bool:
        return await self._write(lambda tx: operators.amend(tx, flow, version, amendment))

    async def mend(self, types: Sequence[str]) -> int:
        return await self._write(lambda tx: operators.mend(tx, types))

    # housekeeping

    async def delete_ended(self, before: int, limit: int) -> int:
        return await self._write(lambda tx: operators.delete_ended(tx, before, limit), quiet=True)

    async def delete_flow(self, type: str, id: str) -> bool:
        return await self._write(lambda tx: operators.delete_flow(tx, type, id))

    async def _write(self, work: Work[T], *, quiet: bool = False) -> T:
        return await self._writes.run(lambda: self._attempt(work, quiet=quiet))

    def _attempt(self, work: Work[T], *, quiet: bool) -> T:
        """Write something that may be written twice: an unknown outcome is one to try again."""
        try:
            return self._writer.write(work, quiet=quiet)
        except OutcomeUnknown as error:
            raise StoreUnavailable(str(error)) from error

    async def _read(self, work: Work[T], *, snapshot: bool = False) -> T:
        return await self._reads.run(lambda: self._reader.read(work, snapshot=snapshot))


def _call_in(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)


def _nothing() -> None: ...
