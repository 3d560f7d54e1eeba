"""One run of a flow from its first line: what it writes, how it is cancelled, and its seal.

*Sealing* ends the incarnation: from then on every use of the engine raises `Suspended`, nothing is
written, and whatever the user's code still returns or raises is ignored.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

import msgspec

from unbroken.engine.batching import RecordEntry
from unbroken.engine.committer import Committer
from unbroken.engine.events import Event
from unbroken.engine.inbox import Inbox
from unbroken.engine.journal import RESULTS, TO_NOBODY_ELSE
from unbroken.engine.outcomes import Ending, Lost, Parked, Released, Suspended
from unbroken.engine.scope import SCOPE, is_counted_task
from unbroken.engine.services import Services
from unbroken.engine.standing import Standing
from unbroken.engine.wait import Wait
from unbroken.model import signals
from unbroken.model.clock import Alarm
from unbroken.model.errors import (
    BatchRefused,
    DeserializationError,
    FlowCancelled,
    FlowTimedOut,
    ReplayMismatch,
    WeakDurability,
)
from unbroken.model.records import Claimed, Effect, FlowRef, Kind, Message, Parent
from unbroken.stores.batch import Also, Publish, Record

if TYPE_CHECKING:
    from unbroken.engine.places import Places

PATIENCE_WITH_LATE_CALLS = 100
MOST_CULPRITS = 16
CANCEL = "~cancel"
MENDABLE = (ReplayMismatch, DeserializationError, WeakDurability)
E = TypeVar("E", bound=BaseException)


class Cancel(msgspec.Struct, frozen=True):
    """A cancel that was asked for: by a message at a position, or by the flow's own time-out."""

    position: int | None = None


class FlowLimit:
    """When the flow's own time-out cancels it."""

    __slots__ = ("alarm", "instant")

    def __init__(self, instant: int, alarm: Alarm) -> None:
        self.instant = instant
        self.alarm = alarm


class Incarnation(Standing):
    """The state of one run of one flow in this process."""

    __slots__ = (
        "_late_calls",
        "_state",
        "_unflushed",
        "cancel",
        "code",
        "culprits",
        "depth",
        "failures",
        "flow",
        "inbox",
        "is_finishing",
        "is_stopping",
        "limit",
        "number",
        "param",
        "parents",
        "places",
    )

    def __init__(self, claimed: Claimed, services: Services) -> None:
        super().__init__(claimed, services)
        self.flow: FlowRef = claimed.flow
        self.number = claimed.incarnation
        self.param = claimed.param
        self.parents: tuple[Parent, ...] = claimed.parents
        self.failures = claimed.failures
        self.code = claimed.code
        self.depth = claimed.depth
        self.inbox = Inbox(claimed.messages, claimed.inbox)
        self.is_stopping = False
        self.is_finishing = False
        self.culprits: list[tuple[BaseException, tuple[str, ...]]] | None = None
        self.limit: FlowLimit | None = None
        self.cancel: Cancel | None = None
        self.places: Places | None = None
        self._late_calls = 0
        self._unflushed: dict[str, Record] | None = None
        self._state: Publish | None = None
        unheard, asked = self.find_cancel(), self.inbox.take_named(CANCEL)
        if unheard is not None:
            self.ask_to_cancel(Cancel(unheard.digest))
        if asked is not None:
            self.ask_to_cancel(Cancel(asked.position))

    # the seal

    @property
    def is_sealed(self) -> bool:
        """Whether the incarnation is over."""
        return self.ending is not None

    def seal(self, ending: Ending) -> None:
        """End the incarnation: wake every wait with the signal that takes the user's code down."""
        if self.ending is not None:
            return
        self.ending = ending
        if self.limit is not None:
            self.limit.alarm.cancel()
        self.services.watch_leaving(self)
        self.unwind_waits()

    def check_open(self) -> None:
        """Raise the signal if the incarnation is over, or ends here because the process stops."""
        if not self.is_open():
            self.check_sealed()

    def check_sealed(self) -> None:
        """Raise the signal if the incarnation is over; what began may end while it stops."""
        if self.ending is not None:
            self.note_late_call()
            raise signals.Suspended

    def is_open(self) -> bool:
        """Whether something may begin; it is over at the latest now if the process stops."""
        if self.is_stopping:
            self.seal(Released())
        return self.ending is None

    def note_late_call(self) -> None:
        """The user's code asks for something although the incarnation is over."""
        self._late_calls += 1
        if not is_counted_task():
            self.adopt_foreign()

    @property
    def ignores_the_signal(self) -> bool:
        """Whether the user's code keeps calling although it was told to go."""
        return self._late_calls > PATIENCE_WITH_LATE_CALLS

    def park(self, error: Exception) -> signals.Suspended:
        """Seal because the flow cannot go on as things are; raise what is returned.

        Another start of an app tries again, unless what is stored is damaged or was refused.
        """
        text = self.services.serializer.encode_exception(error)
        self.seal(Parked(text, mendable=isinstance(error, MENDABLE)))
        return signals.Suspended()

    def suspend(self) -> None:
        """Leave memory: seal, due at the first deadline of the waits, or of the flow itself."""
        self.leave_until(self.next_deadline())

    def leave_until(self, due_at: int | None) -> None:
        """Seal as a suspension, until an instant, the flow's own time-out, or a message."""
        if self.limit is not None and self.cancelled_at is None:
            due_at = self.limit.instant if due_at is None else min(due_at, self.limit.instant)
        self.seal(Suspended(due_at))

    def goes_on(self) -> None:
        """A branch runs again."""
        self.services.rest.begin()
        self.services.warmth.warm(self)

    def stands_still(self, stay: float) -> None:
        """All branches wait: the flow may leave memory after `stay` seconds."""
        self.services.warmth.cool(self, stay)
        self.services.rest.end()

    # the journal

    def recorded(self, key: str, kind: Kind) -> Effect | None:
        """Look a key up. Another kind under the key parks the flow, with both sides named."""
        effect = self.look_up(key)
        if effect is None and self._state is not None and not self.replaying:
            self._ready_committer()  # what is new comes now: the newest state shows before it
        if effect is None or effect.kind == kind:
            return effect
        if effect.kind in RESULTS and kind in RESULTS:
            return effect
        raise self.park(ReplayMismatch(key, f"a {kind.value}", f"a {effect.kind}"))

    async def record(
        self,
        effect: Effect,
        *,
        consumes: tuple[int, ...] = (),
        clears: bool = False,
        also: Also | None = None,
    ) -> None:
        """Write an effect and wait for its commit. A cancel waits for it, and then goes on.

        Raises `Suspended` if the incarnation is over or not this replica's any more.
        """
        committer = self._ready_committer()
        self.remember(effect)
        if self.held is not None and effect.kind not in TO_NOBODY_ELSE:
            for position in consumes:
                self.hold(SCOPE.get().prefix, position)
        record = Record(self.flow.number, self.number, effect, consumes, clears, also)
        entry = committer.record(record)
        future = entry.future
        assert future is not None
        try:
            await future
        except asyncio.CancelledError:
            if self.ending is None and await entry.land():
                await self.cut(effect.key)
            raise
        if not entry.landed:
            self._not_landed(entry)
            raise signals.Suspended
        if self.foreign:
            self._look_again(None)

    def _ready_committer(self) -> Committer:
        """Give the committer, after what was kept for the next write; raises the signal."""
        if self.ending is not None:
            self.check_sealed()
        committer = self.services.committer
        if self._unflushed or self._state:
            for part in self.take_unflushed():
                if isinstance(part, Record):
                    committer.record(part, on_lost=self._not_landed)
                else:
                    committer.submit(part, inside=True).add_done_callback(self._not_shown)
        return committer

    def _not_shown(self, done: asyncio.Future[tuple[object, ...] | None]) -> None:
        error = None if done.cancelled() else done.exception()
        if isinstance(error, BatchRefused):
            self.park(error)

    def queue_and_go_on(
        self, effect: Effect, *, consumes: tuple[int, ...] = (), also: Also | None = None
    ) -> None:
        """Hand an effect over and go on at once; order is kept. If it is refused, all ends here.

        It is not held in memory: whoever records it keeps what it says.
        """
        committer = self._ready_committer()
        record = Record(self.flow.number, self.number, effect, consumes, also=also)
        committer.record(record, on_lost=self._not_landed)

    def keep(
        self,
        effect: Effect,
        *,
        clears: bool = False,
        also: Also | None = None,
    ) -> None:
        """Remember an effect until something else is written; a crash before that forgets it."""
        self.check_sealed()
        self.remember(effect)
        kept = self._unflushed = self._unflushed or {}
        kept[effect.key] = Record(self.flow.number, self.number, effect, (), clears, also)

    def is_kept(self, key: str) -> bool:
        """Whether an effect was kept and is not handed over yet."""
        return self._unflushed is not None and key in self._unflushed

    def drop(self, key: str) -> dict[str, Effect]:
        """Let what is followed under a key and beneath it go; what was kept of it goes unwritten.

        Who drops it tells the store with the record that takes its place.
        """
        dropped = super().drop(key)
        if self._unflushed:
            for one in dropped:
                self._unflushed.pop(one, None)
        return dropped

    def keep_state(self, body: str, type: str | None) -> None:
        """Publish a state with the next write."""
        self.check_sealed()
        self._state = Publish(self.flow.number, self.number, body, type)

    def take_unflushed(self) -> list[Record | Publish]:
        """Give what was kept for the next write, once."""
        kept: list[Record | Publish] = list((self._unflushed or {}).values())
        if self._state is not None:
            kept.append(self._state)
        self._unflushed = self._state = None
        return kept

    async def cut(self, key: str) -> None:
        """Record that the user's own cancel cut an effect or wait, before control returns (H22)."""
        if self.ending is not None or self.was_cut(key):
            return
        self.note_cut()
        self.hold(SCOPE.get().prefix, f"{key}.cut")
        effect = Effect(f"{key}.cut", Kind.CUT, "null", incarnation=self.number)
        committer = self._ready_committer()
        self.remember(effect)
        await committer.record(Record(self.flow.number, self.number, effect)).land()

    def _not_landed(self, entry: RecordEntry) -> None:
        if self.ending is not None:
            return
        key = entry.record.effect.key
        if entry.error is not None:
            self.park(entry.error)
            return
        text = f"the store refused {key!r}: this process does not own the flow any more"
        self.emit("flow.refused", text, logging.WARNING)
        self.seal(Lost())

    # the cancel

    def ask_to_cancel(self, cancel: Cancel) -> None:
        """Let the next use of the engine raise; only the first cancel of a flow counts."""
        if self.cancel is None and self.cancelled_at is None:
            self.cancel = cancel
            self.wake_all()

    def check_cancelled(self, key: str) -> None:
        """Raise FlowCancelled where it was raised before."""
        if self.cancelled_at == key:
            self.read(key)
            raise self.cancel_error()

    def cancel_error(self) -> FlowCancelled:
        """Give the error that is raised in the flow, live and on every replay."""
        mark = self.effects.get(f"{self.cancelled_at}.cancel")
        timed_out = mark is not None and mark.failed
        return (FlowTimedOut if timed_out else FlowCancelled)(self.flow.id)

    def set_limit(self, instant: int) -> None:
        """Cancel the flow at an instant of the store's clock."""
        clock = self.services.clock
        seconds = max(0.0, (instant - self.services.replica.now()) / 1_000_000)
        alarm = clock.call_at(clock.monotonic() + seconds, lambda: self.ask_to_cancel(Cancel()))
        self.limit = FlowLimit(instant, alarm)

    def begin_wait(self, wait: Wait) -> None:
        """A branch begins to wait; raises the signal if the incarnation is over."""
        self.check_open()
        super().begin_wait(wait)

    # failing

    def blame(self, key: str | tuple[str, ...], error: E) -> E:
        """Remember which effect an error comes from, and give the error; the last word counts."""
        keys = (key,) if isinstance(key, str) else key
        self.culprits = [*(self.culprits or ())[-MOST_CULPRITS:], (error, keys)]
        return error

    # messages

    def deliver(self, message: Message) -> None:
        """Take a message in and wake whoever may want it."""
        if not self.inbox.add(message):
            return
        if message.type == CANCEL:
            self.inbox.take_named(CANCEL)
            self.ask_to_cancel(Cancel(message.position))
        else:
            self.wake_for(frozenset((message.type, message.key)))

    def has_read(self, counter: int) -> None:
        """The inbox is known up to a counter; what comes after the seal stays unread."""
        if self.ending is None:
            self.inbox.counter = max(self.inbox.counter, counter)

    # telling

    def emit(self, name: str, text: str, level: int = logging.INFO) -> None:
        """Tell an event about this flow."""
        self.services.events.emit(Event(name, text, self.flow.type, self.flow.id, level))

    def emit_once(self, name: str, text: str, about: str, level: int = logging.INFO) -> None:
        """Tell an event about this flow, unless this app has told it about the same before."""
        event = Event(name, text, self.flow.type, self.flow.id, level)
        self.services.events.emit_once(event, about)
