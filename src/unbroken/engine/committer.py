"""Group commit: every write of this replica goes through here, one transaction at a time.

The committer is idle or has one transaction in flight; whatever arrives meanwhile forms the next
batch. So a lone flow waits for nobody and a thousand flows share one commit. Order is kept. A write
of an owned flow (*inside*) is lost with the replica's row; a request from outside (start, append)
is sent again under the next id, which is safe because ids and keys exist before the first try.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

from unbroken.engine.batching import (
    AnyEntry,
    Entry,
    Part,
    RecordEntry,
    answers_of,
    assemble,
    remains_after_landing,
    to_batch,
)
from unbroken.engine.events import logger
from unbroken.model.errors import (
    AppNotRunning,
    BatchRefused,
    OutcomeUnknown,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from unbroken.stores.batch import Batch, Receipt, Record

if TYPE_CHECKING:
    from unbroken.engine.services import Services


class Committer:
    """Owns the queue of writes and the only transaction in flight."""

    def __init__(
        self,
        services: Services,
        *,
        on_fenced: Callable[[], Awaitable[None]],
        on_landed: Callable[[], Awaitable[None]],
        on_audit: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = services.store
        self._clock = services.clock
        self._replica = services.replica
        self._limit = services.settings.batch_limit
        self._rest = services.rest
        self._on_fenced = on_fenced
        self._on_landed = on_landed
        self._on_audit = on_audit
        self._backoff = services.backoff()
        self._queue: deque[AnyEntry] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._in_flight: list[AnyEntry] = []
        self._is_over = False
        self._resting = False
        self._rest.begin()

    def record(
        self, record: Record, *, on_lost: Callable[[RecordEntry], None] | None = None
    ) -> RecordEntry:
        """Queue an effect of an owned flow.

        The entry's future says when it is answered; with `on_lost` nobody waits, and it is called
        if the effect was not written.
        """
        future = self._loop.create_future() if on_lost is None else None
        entry = RecordEntry(record, future, on_lost)
        self._add(entry)
        return entry

    def submit(self, *parts: Part, inside: bool) -> asyncio.Future[tuple[object, ...] | None]:
        """Queue parts that must share a transaction; the answers come in their order.

        None answers an inside request whose replica was fenced: nothing of it was written.
        """
        future: asyncio.Future[tuple[object, ...] | None] = self._loop.create_future()
        self._add(Entry(parts, future, inside=inside))
        return future

    def _add(self, entry: AnyEntry) -> None:
        if self._is_over:
            _give_up(entry)
            return
        self._queue.append(entry)
        if self._resting:
            self._resting = False
            self._rest.begin()
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def run(self) -> None:
        """Commit whatever is queued, until cancelled. Whoever waits then is told at once."""
        try:
            await self._run()
        except asyncio.CancelledError:
            self._is_over = True
            self._give_up_all(self._queue)
            raise
        finally:
            self._give_up_all(self._in_flight)

    async def _run(self) -> None:
        while True:
            while self._queue:
                self._in_flight = assemble(self._queue, self._limit)
                await self._commit(self._in_flight)
            self._in_flight = []
            self._resting = True
            self._rest.end()
            self._wake = self._loop.create_future()
            await self._wake
            self._wake = None

    @staticmethod
    def _give_up_all(entries: deque[AnyEntry] | list[AnyEntry]) -> None:
        given = list(entries)
        entries.clear()
        for entry in given:
            _give_up(entry)

    async def probe(self) -> None:
        """Find out whether the replica's row still stands, by an empty batch behind the fence."""
        await self._duty("probe")

    async def audit(self) -> None:
        """Compare what this replica owns with what it runs, while no batch is in flight."""
        await self._duty("audit")

    async def drain(self) -> None:
        """Return once everything queued so far has been answered."""
        await self._duty("write")

    async def _duty(self, duty: Literal["write", "probe", "audit"]) -> None:
        future: asyncio.Future[object] = self._loop.create_future()
        self._add(Entry((), future, inside=False, duty=duty))
        await future

    async def deregister(self) -> None:
        """Delete the replica's row with a last batch; the committer must be drained and stopped."""
        batch = self._batch([], last=True)
        try:
            await self._store.commit(batch)
        except StoreError as error:
            self._replica.report_unavailable(error)

    def purge(self) -> None:
        """Drop every queued write of a flow: its replica is gone (protocol section 6)."""
        kept = [entry for entry in self._queue if not self._drop(entry)]
        self._queue.clear()
        self._queue.extend(kept)

    @staticmethod
    def _drop(entry: AnyEntry) -> bool:
        is_inside = isinstance(entry, RecordEntry) or entry.inside
        if is_inside:
            entry.answer_fenced()
        return is_inside

    async def _commit(self, entries: list[AnyEntry]) -> None:
        if await self._only_duties(entries):
            return
        while True:
            batch = self._batch(entries)
            sent = self._clock.monotonic()
            try:
                receipt = await self._store.commit(batch)
            except (StoreUnavailable, StoreCorrupt) as error:
                self._replica.report_unavailable(error)
                await self._backoff.pause()
                continue
            except OutcomeUnknown as error:
                self._replica.report_unavailable(error)
                if await self._settle(entries):
                    return
                continue
            except BatchRefused as error:
                await self._split(entries, error)
                return
            except Exception as error:  # noqa: BLE001  a fault nobody foresaw must not stop all
                logger.exception("the store failed unexpectedly")
                if not await self._settle(entries):
                    await self._split(entries, BatchRefused(f"{type(error).__name__}: {error}"))
                return
            self._backoff.reset()
            await self._accept(entries, batch, receipt, sent)
            return

    async def _only_duties(self, entries: list[AnyEntry]) -> bool:
        """Do what needs no transaction; False if there is something to commit."""
        first = entries[0]
        if isinstance(first, Entry) and first.duty == "audit":
            await self._on_audit()
        duties = [one for one in entries if isinstance(one, Entry) and not one.parts]
        if len(duties) < len(entries) or any(duty.duty == "probe" for duty in duties):
            return False
        for duty in duties:
            duty.answer(())
        return True

    def _batch(self, entries: list[AnyEntry], *, last: bool = False) -> Batch:
        replica = self._replica
        return to_batch(entries, replica.id, replica.generation, replica.batch + 1, last=last)

    async def _accept(
        self, entries: list[AnyEntry], batch: Batch, receipt: Receipt | None, sent: float
    ) -> None:
        if receipt is None:
            await self._fenced(entries)
            return
        self._replica.batch += 1
        self._replica.learn_time(receipt.at, sent)
        answers_of(entries, batch, receipt)

    async def _fenced(self, entries: list[AnyEntry]) -> None:
        """Nothing was written and nothing more will be under this id."""
        outside = [entry for entry in entries if not self._drop(entry)]
        self._queue.extendleft(reversed(outside))
        await self._on_fenced()

    async def _settle(self, entries: list[AnyEntry]) -> bool:
        """Settle an unknown outcome; True if the entries are dealt with."""
        landed = await self._replica.settle()
        if landed is None:
            await self._fenced(entries)
            return True
        if not landed:
            return False
        self._replica.batch += 1
        # A receipt says that the batch landed, not what it answered (R3): requests that have an
        # answer are sent again, which ids and keys make harmless; the rest is read.
        owned = await self._read_owned()
        again = [entry for entry in entries if remains_after_landing(entry, owned)]
        self._queue.extendleft(reversed(again))
        await self._on_landed()
        return True

    async def _read_owned(self) -> dict[int, int]:
        while True:
            try:
                return await self._store.owned(self._replica.id)
            except StoreUnavailable as error:
                self._replica.report_unavailable(error)
                await self._backoff.pause()

    async def _split(self, entries: list[AnyEntry], error: BatchRefused) -> None:
        """Halve until the guilty entry is alone; only it fails (R7)."""
        if len(entries) == 1:
            entries[0].fail(error)
            return
        middle = len(entries) // 2
        await self._commit(entries[:middle])
        await self._commit(entries[middle:])


def _give_up(entry: AnyEntry) -> None:
    """Answer what nobody will commit any more; if it was under way it may have landed."""
    if isinstance(entry, RecordEntry):
        if entry.landed is None:
            entry.answer_fenced()
    elif not entry.parts:
        entry.answer(())
    elif entry.inside:
        entry.answer_fenced()
    else:
        entry.fail(AppNotRunning("the app stopped before the store answered: ask again"))
