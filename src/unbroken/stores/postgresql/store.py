"""PostgreSQL as a store: which call runs on which connection, and in how many round trips.

One connection writes batches, a few others read and do what is rare, one listens, and one in a
thread of its own beats.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from unbroken.model.bus import Bus, SilentBus
from unbroken.model.clock import Clock
from unbroken.model.errors import BatchRefused
from unbroken.model.records import Claimed, Effect, FlowRef, Outcome, Reply, Status
from unbroken.stores.batch import Batch, Claim, Receipt
from unbroken.stores.postgresql.address import PostgreSQL
from unbroken.stores.postgresql.beating import BeatThread, keep_beating
from unbroken.stores.postgresql.bus import GlancingBus, NotifyBus
from unbroken.stores.postgresql.catalogue import migrations
from unbroken.stores.postgresql.claiming import claim_at_once, is_claim
from unbroken.stores.postgresql.driver import Connection
from unbroken.stores.postgresql.durability import Durability, read_durability
from unbroken.stores.postgresql.examining import examine
from unbroken.stores.postgresql.one_statement import Unusual, commit_at_once, fits
from unbroken.stores.postgresql.schema import check_version, is_up_to_date, migrate
from unbroken.stores.postgresql.sessions import Sessions
from unbroken.stores.pulse import Pulse
from unbroken.stores.sql import as_sql
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

RACES = 5


class PostgresStore:
    """One PostgreSQL database, one prefix in it."""

    def __init__(self, address: PostgreSQL, *, clock: Clock) -> None:
        self._address = address
        self._clock = clock
        self._pulse = Pulse(clock)
        self._sessions = Sessions(address, clock)
        self._bus: NotifyBus | None = None
        self._beating: asyncio.Task[None] | None = None
        self._thread: BeatThread | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._durability: Durability | None = None

    @property
    def durability(self) -> str:
        if self._durability is None:
            return "not known before the store is open"
        return self._durability.in_words()

    @property
    def is_durable(self) -> bool:
        known = self._durability
        return self._address.accept_loss or (known is not None and known.survives_power_loss)

    async def examine(self) -> tuple[Finding, ...]:
        sessions = self._sessions
        return await sessions.ask(
            lambda connection: examine(connection, self._address, sessions.statements, self._clock)
        )

    def migrations(self) -> str:
        return as_sql(migrations(self._address.prefix))

    async def open(self) -> None:
        self._sessions.renew()
        try:
            self._durability = await self._sessions.ask(self._read_durability)
            check_version(self._durability.version)
            if not self._address.accept_loss:
                self._durability.warn(logger)
            await self._migrate()
        except BaseException:
            await self.close()
            raise

    async def _read_durability(self, connection: Connection) -> Durability:
        return await read_durability(connection, self._sessions.statements["settings"].text)

    async def _migrate(self) -> None:
        prefix = self._address.prefix
        if not await self._sessions.write(lambda tx: is_up_to_date(tx, prefix)):
            for left in reversed(range(RACES)):
                try:
                    await self._sessions.write(lambda tx: migrate(tx, prefix))
                    break
                except BatchRefused:
                    # Two processes that make the same table at the same time: one of them fails.
                    if left == 0 or not await self._sessions.write(
                        lambda tx: is_up_to_date(tx, prefix)
                    ):
                        raise
        await self._sessions.write(lambda tx: tx.change("try_writing"))

    async def close(self) -> None:
        self.beat_every(None, 0, _nothing)
        if self._closing:
            await asyncio.wait(self._closing)
        await self._sessions.close()

    def bus(self) -> Bus:
        if not self._address.notify or self._bus_cannot_listen:
            return SilentBus()
        if not self._sessions.is_real:
            return GlancingBus(self._clock)
        channel = f"{self._address.prefix}wake"
        self._bus = NotifyBus(
            self._sessions.connector.connect_to_listen,
            self._sessions.statements["notify"].text,
            channel,
            self._clock,
        )
        return self._bus

    @property
    def _bus_cannot_listen(self) -> bool:
        return self._address.pooler is not None and self._address.listen_url is None

    def _tell(self, *, regroup: bool = False) -> None:
        if self._bus is not None:
            self._bus.tell(regroup=regroup)

    # replicas

    async def register(self, replica: str, lease: int = 0) -> int:
        sent = self._clock.monotonic()
        at = await self._sessions.write(
            lambda tx: replicas.register(tx, replica, lease), unknown=True
        )
        self._pulse.registered(sent)
        self._tell(regroup=True)
        return at

    async def beat(self, replica: str) -> bool:
        sent = self._clock.monotonic()
        alive = await self._sessions.at_once(lambda tx: replicas.beat(tx, replica))
        if alive:
            self._pulse.succeeded(replica, sent)
        return alive

    def beat_every(self, replica: str | None, seconds: float, lost: Callable[[], None]) -> None:
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None
        if self._thread is not None:
            self._end(self._thread)
            self._thread = None
        if replica is None:
            self._pulse.begin(None, 0, lost)
            return
        if not self._sessions.is_real:
            self._pulse.begin(replica, seconds, lost)
            beating = keep_beating(self._pulse, self.beat, self._clock.sleep)
            self._beating = asyncio.create_task(beating)
            return
        loop = asyncio.get_running_loop()
        self._pulse.begin(replica, seconds, lambda: _call_in(loop, lost))
        self._thread = BeatThread(self._beat_apart)

    async def _beat_apart(self) -> None:
        """Beat in another thread's event loop."""
        link = self._sessions.link()

        async def beat(replica: str) -> bool:
            sent = self._clock.monotonic()
            alive = await self._sessions.at_once(lambda tx: replicas.beat(tx, replica), on=link)
            if alive:
                self._pulse.succeeded(replica, sent)
            return alive

        try:
            await keep_beating(self._pulse, beat, self._clock.sleep)
        finally:
            await link.close()

    def _end(self, thread: BeatThread) -> None:
        closing = asyncio.ensure_future(thread.stop())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def last_beat(self) -> float:
        return self._pulse.last

    async def settle(self, replica: str, target: int) -> int | None:
        return await self._sessions.write(lambda tx: replicas.settle(tx, replica, target))

    async def reap(self, me: str, lease: int) -> Reaped:
        look = await self._sessions.write(lambda tx: replicas.look_for_dead(tx, me, lease))
        if look.next_expiry is None or look.next_expiry >= look.at:
            return look
        removed = await self._sessions.write(lambda tx: replicas.reap(tx, me, lease, ()))
        # A later transaction: what the dead wrote last is seen by who takes their flows.
        look = await self._sessions.write(lambda tx: replicas.look_for_dead(tx, me, lease))
        return Reaped(look.at, removed, look.dead, look.next_expiry)

    # writes of a replica

    async def commit(self, batch: Batch) -> Receipt | None:
        sent = self._clock.monotonic()
        # A batch moves the beat, unless that was done a moment ago.
        beats = self._pulse.is_half_way
        receipt, did_beat = await self._commit(batch, beats=beats)
        if receipt is not None:
            if did_beat:
                self._pulse.succeeded(batch.replica, sent)
            if not is_quiet(batch):
                self._tell(regroup=batch.last)
        return receipt

    async def _commit(self, batch: Batch, *, beats: bool) -> tuple[Receipt | None, bool]:
        """Apply a batch in the quickest way that it allows; say whether that moved the beat."""
        try:
            if batch.claim is not None and is_claim(batch):
                return await self._claim(batch, batch.claim, beats=beats), beats
            if fits(batch):
                return await self._at_one_go(batch, beats=beats), beats
        except Unusual:
            pass
        return await self._one_after_the_other(batch), True

    async def _at_one_go(self, batch: Batch, *, beats: bool) -> Receipt | None:
        prefix, now = self._address.prefix, self._sessions.now()
        return await self._sessions.batch_at_once(
            lambda connection: commit_at_once(
                connection, batch, prefix=prefix, now=now, beats=beats
            )
        )

    async def _claim(self, batch: Batch, claim: Claim, *, beats: bool) -> Receipt | None:
        prefix, now = self._address.prefix, self._sessions.now()
        return await self._sessions.batch_at_once(
            lambda connection: claim_at_once(
                connection, batch, claim, prefix=prefix, now=now, beats=beats
            )
        )

    async def _one_after_the_other(self, batch: Batch) -> Receipt | None:
        try:
            try:
                return await self._sessions.batch(lambda tx: apply(tx, batch, one_by_one=False))
            except SomeRefused:
                return await self._sessions.batch(lambda tx: apply(tx, batch, one_by_one=True))
        except Fenced:
            return None

    # reads

    async def poll(
        self,
        replica: str,
        types: Sequence[str],
        awaited: Sequence[int],
        asked: Sequence[Question] = (),
    ) -> Poll:
        return await self._sessions.read(lambda tx: reads.poll(tx, replica, types, awaited, asked))

    async def owned(self, replica: str) -> dict[int, int]:
        return await self._sessions.read(lambda tx: reads.owned(tx, replica))

    async def load(self, replica: str, numbers: Sequence[int]) -> tuple[Claimed, ...]:
        return await self._sessions.read(lambda tx: reads.load(tx, replica, numbers), snapshot=True)

    async def read_inbox(self, flow: int) -> Inbox | None:
        return await self._sessions.read(lambda tx: reads.read_inbox(tx, flow))

    async def find(self, type: str, id: str) -> Outcome | None:
        return await self._sessions.read(lambda tx: reads.find(tx, type, id))

    async def view(self, type: str, id: str) -> FlowView | None:
        return await self._sessions.read(lambda tx: reads.view(tx, type, id))

    async def read_effects(self, flow: int) -> tuple[Effect, ...]:
        return await self._sessions.read(lambda tx: reads.read_effects(tx, flow))

    async def read_state(self, type: str, id: str) -> State | None:
        return await self._sessions.read(lambda tx: reads.read_state(tx, type, id))

    async def read_reply(self, question: Question) -> Reply | None:
        return await self._sessions.read(lambda tx: reads.read_reply(tx, question))

    async def correlated(self, type: str, correlation: str) -> tuple[FlowRef, ...]:
        return await self._sessions.read(lambda tx: reads.correlated(tx, type, correlation))

    async def places(self, queue: str) -> tuple[Place, ...]:
        return await self._sessions.read(lambda tx: reads.places(tx, queue))

    async def list_flows(
        self, type: str, statuses: Sequence[Status], after: int, limit: int
    ) -> tuple[FlowView, ...]:
        return await self._sessions.read(
            lambda tx: reads.list_flows(tx, type, statuses, after, limit)
        )

    # operators

    async def amend(self, flow: int, version: int, amendment: Amendment) -> bool:
        done = await self._sessions.write(lambda tx: operators.amend(tx, flow, version, amendment))
        self._tell()
        return done

    async def mend(self, types: Sequence[str]) -> int:
        return await self._sessions.write(lambda tx: operators.mend(tx, types))

    # housekeeping

    async def delete_ended(self, before: int, limit: int) -> int:
        return await self._sessions.write(lambda tx: operators.delete_ended(tx, before, limit))

    async def delete_flow(self, type: str, id: str) -> bool:
        done = await self._sessions.write(lambda tx: operators.delete_flow(tx, type, id))
        self._tell()
        return done


def _call_in(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)


def _nothing() -> None: ...
