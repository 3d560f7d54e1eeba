"""Finds work: what is due, was orphaned or moved; and what callers wait for: ends and replies.

Wake-ups make it look at once; the next due time is known and waited for; and a slow poll is the
safety net under both. One poll is one statement.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from unbroken.engine.completions import Completions
from unbroken.engine.events import Event
from unbroken.engine.executor import Executor
from unbroken.engine.services import Services
from unbroken.model.clock import Alarm
from unbroken.model.errors import (
    BatchRefused,
    PoisonFlow,
    QuestionRefused,
    StoreCorrupt,
    StoreError,
)
from unbroken.model.records import FlowRef, Reply
from unbroken.serialization.serializer import Serializer
from unbroken.stores.batch import Acknowledge, Claim, Receipt
from unbroken.stores.store import Poll

PAUSE_AFTER_VAIN_CLAIM = 500_000


class Poller:
    """Looks at the store and acts on what it sees."""

    def __init__(
        self,
        services: Services,
        executor: Executor,
        completions: Completions,
        types: Sequence[str],
    ) -> None:
        self._services = services
        self._executor = executor
        self._completions = completions
        self._types = tuple(types) if services.settings.execute else ()
        self._wake = asyncio.Event()
        self._is_busy = True
        self._alarm: Alarm | None = None
        self._alarm_at: int | None = None
        self._unsure: set[int] = set()
        self.dead: set[str] = set()
        self.is_claiming = True
        self.waits_for_room = False
        services.rest.begin()

    def look(self) -> None:
        """Look again as soon as possible."""
        if not self._is_busy:
            self._is_busy = True
            self._services.rest.begin()
        self._wake.set()

    def expect(self, due_at: int) -> None:
        """Look again at an instant, unless an earlier one is expected already."""
        if self._alarm_at is not None and self._alarm_at <= due_at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        clock = self._services.clock
        seconds = max(0.0, (due_at - self._services.replica.now()) / 1_000_000)
        self._alarm_at = due_at
        self._alarm = clock.call_at(clock.monotonic() + seconds, self._expected)

    def _expected(self) -> None:
        self._alarm = self._alarm_at = None
        self.look()

    async def run(self) -> None:
        """Poll, claim and deliver until cancelled."""
        services = self._services
        backoff = services.backoff()
        while True:
            self._wake.clear()
            try:
                await self._look_once()
                backoff.reset()
            except StoreError as error:
                services.replica.report_unavailable(error)
                await backoff.pause()
                continue
            await self._rest_until_woken()

    async def _rest_until_woken(self) -> None:
        if self._wake.is_set():
            return
        self._is_busy = False
        services = self._services
        services.rest.end()
        nap = asyncio.create_task(services.clock.sleep(services.settings.poll_interval))
        woken = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait((nap, woken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            nap.cancel()
            woken.cancel()
        if not self._is_busy:
            self._is_busy = True
            self._services.rest.begin()

    async def _look_once(self) -> None:
        executor = self._executor
        awaited = self._completions.awaited(executor.residents)
        self.waits_for_room = self._room() <= 0
        types = self._types if self.is_claiming and not self.waits_for_room else ()
        replica, sent = self._services.replica, self._services.clock.monotonic()
        asked = self._services.replies.asked()
        poll = await self._services.store.poll(replica.id, types, awaited, asked)
        replica.learn_time(poll.at, sent)
        for outcome in poll.ended:
            self._completions.resolve(outcome)
        for question, reply in poll.answered:
            self._services.replies.resolve(question, reply)
        for question in poll.gone:
            self._services.replies.resolve(question, self._forgotten())
        self._unsure.update(poll.moved)
        while self._unsure:
            await self.read_inbox(next(iter(self._unsure)))
        await self._claim_while_due(poll)

    def _forgotten(self) -> Reply:
        """Give what is told to those whose question is gone."""
        error = QuestionRefused("the flow has forgotten the question, and its answer: ask again")
        return Reply(self._services.serializer.encode_exception(error), failed=True)

    def _room(self) -> int:
        settings = self._services.settings
        running = sum(1 for one in self._executor.residents.values() if not one.is_blocked)
        return settings.concurrency - running

    async def _claim_while_due(self, poll: Poll) -> None:
        is_due = poll.next_due is not None and poll.next_due <= poll.at
        has_claimed = False
        while self.is_claiming and self._types and (is_due or self.dead):
            limit = min(self._room(), self._services.settings.claim_limit)
            if limit <= 0:
                self.waits_for_room = True
                return
            receipt = await self._claim(limit)
            taken = len(receipt.claimed) + len(receipt.parked) if receipt else 0
            has_claimed = has_claimed or taken > 0
            if taken < limit:
                break
        if has_claimed:
            self.look_soon()
        elif poll.next_due is not None:
            # Due and not claimable: another replica was faster, or a suspect has to wait.
            self.expect(max(poll.next_due, poll.at + PAUSE_AFTER_VAIN_CLAIM))

    def look_soon(self) -> None:
        """Look again after what was claimed has begun, to learn the next due time."""
        self._services.clock.call_at(self._services.clock.monotonic(), self.look)

    async def _claim(self, limit: int) -> Receipt | None:
        suspects, dead = self._free_suspects(), tuple(sorted(self.dead))
        claim = Claim(
            self._types,
            limit,
            dead,
            suspects=suspects,
            poison_after=self._services.settings.poison_after,
            poison=poison_text(self._services.serializer),
        )
        try:
            answers = await self._services.committer.submit(claim, inside=True)
        except BatchRefused as error:
            raise StoreError(str(error)) from error
        receipt = answers[0] if answers else None
        if not isinstance(receipt, Receipt):
            return None
        for flow in receipt.parked:
            self._say_parked(flow)
        for claimed in receipt.claimed:
            self._executor.run(claimed)
        if not receipt.claimed and suspects:
            self.dead.difference_update(dead)
        return receipt

    def _free_suspects(self) -> int:
        """At most one flow that may take its process down runs here at a time."""
        residents = self._executor.residents.values()
        is_taken = any(one.is_suspect for one in residents)
        self.waits_for_room = self.waits_for_room or is_taken
        return 0 if is_taken else 1

    def _say_parked(self, flow: FlowRef) -> None:
        text = "it took its process down again and again and is parked"
        event = Event("flow.poison", text, flow.type, flow.id, logging.ERROR)
        self._services.events.emit(event)

    def read_again(self, number: int) -> None:
        """Read the inbox of a flow that began anew: what came while it was read went past it."""
        self._unsure.add(number)
        self.look()

    async def read_inbox(self, number: int) -> None:
        """Deliver what others put into the inbox of a flow that runs here."""
        self._unsure.discard(number)  # before it is read: who asks meanwhile asks for a new reading
        incarnation = self._executor.residents.get(number)
        if incarnation is None:
            return
        try:
            inbox = await self._services.store.read_inbox(number)
        except StoreCorrupt as error:
            incarnation.park(error)
            return
        except StoreError:
            self._unsure.add(number)
            raise
        if inbox is None:
            return
        for message in inbox.messages:
            incarnation.deliver(message)
        incarnation.has_read(inbox.counter)
        if not incarnation.is_sealed:
            change = Acknowledge(incarnation.flow, incarnation.number, inbox.counter)
            self._services.committer.submit(change, inside=True).add_done_callback(_drop)


def _drop(future: asyncio.Future[tuple[object, ...] | None]) -> None:
    """An acknowledgement that fails is made again at the next look."""
    if not future.cancelled():
        future.exception()


def poison_text(serializer: Serializer) -> str:
    """Give the error of a poison flow, encoded."""
    return serializer.encode_exception(PoisonFlow())
