"""One engine: the parts, how they start and stop, and what a lost identity means.

When this replica is declared dead (*fenced*), every incarnation is sealed and every queued write of
a flow dropped; the process goes on under a fresh id. Requests from outside survive that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

from unbroken.engine.committer import Committer
from unbroken.engine.completions import Completions, Ended
from unbroken.engine.events import Event
from unbroken.engine.executor import Executor
from unbroken.engine.outcomes import Released
from unbroken.engine.parts import Parts
from unbroken.engine.poller import Poller
from unbroken.engine.reaper import Reaper
from unbroken.engine.services import Services
from unbroken.engine.warmth import WarmBudget
from unbroken.model.errors import AppNotRunning, BatchRefused, StoreError, StoreUnavailable
from unbroken.model.records import Claimed, Delivery, FlowRef, Message, Outcome, Status
from unbroken.stores.batch import Append, Appended, NewMessage, Start, Started

Answers: TypeAlias = "asyncio.Future[tuple[object, ...] | None]"

RETENTION_PAGE = 1000
LAST_RESORT = 5.0


class Engine:
    """Runs flows of the given types from the given store."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.completions = Completions()
        self.executor = Executor(services, self.completions)
        self._parts = Parts(services.clock, services.events, services.rest)
        self.has_started = False
        self._is_stopping = False
        self._is_stopped = False

    # life

    async def start(self) -> None:
        """Take an identity and begin to work."""
        services = self.services
        services.warmth = WarmBudget(
            services.clock, services.settings, self.executor.unwind, self._room_again
        )
        services.committer = Committer(
            services,
            on_fenced=self._fenced,
            on_landed=self._landed,
            on_audit=self._adopt_owned,
        )
        await self._mend()
        await services.replica.register(self._lost)
        self.poller = Poller(services, self.executor, self.completions, list(services.types))
        services.look_for_work = self.poller.look
        services.watch_leaving = self.executor.watch_leaving
        self.executor.on_due = self.poller.expect
        self.executor.on_moved = self.poller.read_again
        self.executor.on_room = self._room_again
        services.deliver = self._deliver_told
        services.clock.attach(services.rest)
        self._parts.run(services.committer.run)
        self._parts.run(self.poller.run)
        reaper = Reaper(services, self._found_dead)
        bus = services.store.bus()
        self._parts.run(lambda: bus.listen(self.poller.look, reaper.look))
        if services.settings.execute:
            self._parts.run(reaper.run)
            self._parts.run(self._audit)
            if services.settings.retention is not None:
                self._parts.run(self._forget_ended)
        self.has_started = True

    async def _mend(self) -> None:
        """Let flows try again that were parked because code and journal did not fit.

        This start may be the deploy that repairs it. Who waited for them was told that they parked.
        """
        services = self.services
        if not services.settings.execute:
            return
        backoff = services.backoff()
        while True:
            try:
                mended = await services.store.mend(list(services.types))
                break
            except StoreUnavailable as error:
                services.replica.report_unavailable(error)
                await backoff.pause()
        if mended:
            text = f"{mended} parked flow(s) try again with this code"
            services.events.emit(Event("flows.mended", text, level=logging.WARNING))

    async def stop(self, grace: float) -> None:
        """Hand every flow over and leave; after it nothing runs and nothing is written."""
        self._is_stopping = True
        self.poller.is_claiming = False
        self.executor.stop()
        clock = self.services.clock
        in_time = asyncio.create_task(self._hand_over())
        alarms = (
            clock.call_at(clock.monotonic() + grace, self.hurry),
            clock.call_at(clock.monotonic() + grace + LAST_RESORT, lambda: _cancel(in_time)),
        )
        try:
            await asyncio.wait((in_time,))
        finally:
            for alarm in alarms:
                alarm.cancel()
            in_time.cancel()
            await self._leave(in_time)
        if not in_time.cancelled():
            in_time.result()

    async def _leave(self, handing_over: asyncio.Task[None]) -> None:
        """Take leave of the store, and let nothing of the engine run on."""
        self.executor.leave()
        self.services.replica.stop_beating()
        await self._parts.end()
        if handing_over.done() and not handing_over.cancelled():
            await self.services.committer.deregister()
        else:
            text = "the flows were not handed over in time; others take them after the lease"
            self.services.events.emit(Event("replica.abandoned", text, level=logging.WARNING))
        self.services.clock.detach(self.services.rest)
        self.services.rest.abandon()
        self._is_stopped = True
        self.completions.fail_all(AppNotRunning("the app was stopped before the flow ended"))

    async def _hand_over(self) -> None:
        await self.executor.empty()
        await self.services.committer.drain()

    def hurry(self) -> None:
        """End the grace of a stop at once."""
        self.executor.stop_now(Released())

    def _room_again(self) -> None:
        if self.poller.waits_for_room:
            self.poller.look()

    # a lost identity

    def _lost(self) -> None:
        """The beat found no row: let the committer find it too, with its next batch."""
        if not self._is_stopping:
            self._parts.run(self.services.committer.probe)

    async def _fenced(self) -> None:
        """Called by the committer, whose queue stands still meanwhile."""
        services = self.services
        text = "this replica was declared dead; its flows are given up and it takes a fresh id"
        services.events.emit(Event("replica.fenced", text, level=logging.WARNING))
        services.replica.stop_beating()
        self.executor.give_up_all()
        services.committer.purge()
        former = services.replica.id
        await services.replica.register(self._lost)
        # What nobody took over meanwhile goes on here.
        self._found_dead((former,))

    async def _adopt_owned(self) -> None:
        """Run what this replica owns and does not know of: an answer was lost (R3, H5)."""
        services = self.services
        backoff = services.backoff()
        while True:
            try:
                owned = await services.store.owned(services.replica.id)
                unknown = [number for number in owned if number not in self.executor.residents]
                found = await services.store.load(services.replica.id, unknown) if unknown else ()
                break
            except StoreError as error:
                services.replica.report_unavailable(error)
                await backoff.pause()
        for claimed in found:
            self.executor.run(claimed)

    async def _landed(self) -> None:
        """A batch landed and its answer was lost: find out what it would have said."""
        await self._adopt_owned()
        for number in self.executor.residents:
            self.poller.read_again(number)

    async def _audit(self) -> None:
        """Once per lease, look for owned flows that nobody here runs."""
        while True:
            await self.services.clock.sleep(self.services.settings.lease)
            await self.services.committer.audit()

    def _found_dead(self, dead: tuple[str, ...]) -> None:
        self.poller.dead.update(dead)
        self.poller.look()

    # requests from outside

    async def start_flow(self, start: Start) -> Started:
        """Create a flow, or find it; one that is owned begins to run here."""
        (started,) = await self.start_flows([start])
        return started

    async def start_flows(self, starts: Sequence[Start]) -> list[Started]:
        """Create flows, or find those that exist; many share a transaction."""
        futures = [self._start(start) for start in starts]
        answers: list[Started] = []
        for future in futures:
            started = _last(await asyncio.shield(future))
            if not isinstance(started, Started):
                raise AppNotRunning("the app was stopped before the flow was stored")
            answers.append(started)
        return answers

    def _start(self, start: Start) -> Answers:
        """Queue a start. What follows from it must not depend on a caller who may give up."""
        future = self._committer().submit(start, inside=False)
        future.add_done_callback(lambda done: self._begin(start, _answer_of(done)))
        return future

    def _begin(self, start: Start, started: object) -> None:
        if not isinstance(started, Started) or not started.created:
            return
        if start.owned:
            self.executor.run(self._first_claim(start, started.flow))
        elif start.due_at is not None:
            self.poller.expect(start.due_at)

    def _first_claim(self, start: Start, flow: FlowRef) -> Claimed:
        """Give what a claim of a flow that was just created would have found."""
        now, messages = self.services.replica.now(), dict[str, Message]()
        for position, new in enumerate(start.messages, 1):
            message = Message(position, new.key, new.type, new.body, now)
            messages.setdefault(new.key, message)
        return Claimed(
            flow,
            1,
            start.param,
            len(start.messages),
            effects=start.effects,
            messages=tuple(messages.values()),
            code=start.code,
            depth=start.depth,
        )

    def may_run_here(self) -> bool:
        """Whether a new flow may begin in this process at once."""
        return (
            self.services.settings.execute
            and not self._is_stopping
            and len(self.executor.residents) < self.services.settings.concurrency
        )

    async def append(
        self,
        type: str,
        id: str,
        messages: Sequence[NewMessage],
        start: Start | None = None,
        *,
        cancels: bool = False,
    ) -> list[Delivery]:
        """Put messages into a flow's inbox and wake it; `start` makes it first if it is absent.

        `cancels`: from now on it cannot end well.
        """
        append = Append(type, id, tuple(messages), cancels)
        parts = (append,) if start is None else (start, append)
        return list((await self._append(parts, messages, _ignore)).deliveries)

    async def put_question(
        self, type: str, id: str, question: NewMessage, first: Callable[[object], None]
    ) -> Appended:
        """Put a question into a flow's inbox; `first` hears what became of it before the flow."""
        return await self._append((Append(type, id, (question,)),), [question], first)

    async def _append(
        self,
        parts: Sequence[Start | Append],
        messages: Sequence[NewMessage],
        first: Callable[[object], None],
    ) -> Appended:
        future = self._committer().submit(*parts, inside=False)
        future.add_done_callback(lambda done: first(_answer_of(done)))
        future.add_done_callback(lambda done: self._deliver(_answer_of(done), messages))
        appended = _last(await asyncio.shield(future))
        if not isinstance(appended, Appended):
            raise AppNotRunning("the app was stopped before the message was stored")
        return appended

    def _deliver(self, appended: object, messages: Sequence[NewMessage]) -> None:
        """Hand accepted messages to a flow that runs here, or see that it is claimed."""
        if not isinstance(appended, Appended) or not appended.positions or not appended.flow:
            return
        incarnation = self.executor.residents.get(appended.flow.number)
        if appended.owner is None:
            self.poller.look()
        if incarnation is None or appended.owner != self.services.replica.id:
            return
        accepted = [
            message
            for message, delivery in zip(messages, appended.deliveries, strict=True)
            if delivery is Delivery.ACCEPTED
        ]
        for message, position in zip(accepted, appended.positions, strict=True):
            if not incarnation.inbox.follows(position):
                self.poller.read_again(appended.flow.number)
                return
            now = self.services.replica.now()
            incarnation.deliver(Message(position, message.key, message.type, message.body, now))
            incarnation.has_read(position)

    def _deliver_told(self, told: Appended, message: NewMessage) -> None:
        self._deliver(told, [message])

    async def outcome(self, flow: FlowRef) -> Ended:
        """Wait until a flow has ended, wherever it runs."""
        if self._is_stopped:
            raise AppNotRunning("the app was stopped before the flow ended")
        future = self.completions.wait_for(flow.number)
        try:
            if flow.number not in self.executor.residents:
                found = await self.find(flow.type, flow.id)
                if found is not None and found.status != Status.LIVE:
                    return Ended(found)
                self.poller.look()
            return await future
        finally:
            self.completions.forget(flow.number, future)

    async def find(self, type: str, id: str) -> Outcome | None:
        """Read how a flow stands; waits for as long as the store does not answer."""
        services = self.services
        backoff = services.backoff()
        services.rest.begin()
        try:
            while True:
                try:
                    return await services.store.find(type, id)
                except StoreUnavailable as error:
                    services.replica.report_unavailable(error)
                    await backoff.pause()
        finally:
            services.rest.end()

    def _committer(self) -> Committer:
        if self._is_stopping:
            raise AppNotRunning("the app is stopping: it takes no more requests")
        return self.services.committer

    # housekeeping

    async def _forget_ended(self) -> None:
        """Delete flows that ended well long ago, a page at a time."""
        services = self.services
        retention = services.settings.retention or 0.0
        while True:
            before = services.replica.now() - int(retention * 1_000_000)
            services.rest.begin()
            try:
                deleted = await services.store.delete_ended(before, RETENTION_PAGE)
            except (StoreError, BatchRefused) as error:
                services.replica.report_unavailable(error)
                deleted = 0
            finally:
                services.rest.end()
            if deleted < RETENTION_PAGE:
                await services.clock.sleep(
                    min(max(retention, services.settings.poll_interval), 3600.0)
                )


def _answer_of(done: Answers) -> object:
    """Give the answer to the last part; None if there is none."""
    return None if done.cancelled() or done.exception() is not None else _last(done.result())


def _last(answers: tuple[object, ...] | None) -> object:
    return answers[-1] if answers else None


def _ignore(_: object) -> None: ...


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
