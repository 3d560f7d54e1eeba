"""One run of a flow from its first line: its journal, its waits, and its seal.

The journal is what is recorded so far. *Sealing* ends the incarnation: from then on every use of
the engine raises `Suspended`, nothing is written, and whatever the user's code still returns or
raises is ignored. An incarnation is *blocked* when all its branches wait; then it may leave memory.
"""

from __future__ import annotations

import asyncio
import logging

from unbroken.engine.batching import RecordEntry
from unbroken.engine.blocking import awaited_by, running_behind
from unbroken.engine.committer import Committer
from unbroken.engine.events import Event
from unbroken.engine.inbox import Inbox
from unbroken.engine.outcomes import Ending, Lost, Parked, Released, Suspended
from unbroken.engine.scope import is_counted_task
from unbroken.engine.services import Services
from unbroken.engine.wait import Wait
from unbroken.model import signals
from unbroken.model.errors import ReplayMismatch
from unbroken.model.records import Claimed, Effect, FlowRef, Kind, Message, Parent
from unbroken.stores.batch import Record

PATIENCE_WITH_LATE_CALLS = 100
SUSPECT_AFTER = 2


class Incarnation:
    """The state of one run of one flow in this process."""

    __slots__ = (
        "_active",
        "_cuts",
        "_late_calls",
        "_marked",
        "_promised",
        "_root_stands_still",
        "_unflushed",
        "_waits",
        "crashes",
        "effects",
        "ending",
        "flow",
        "foreign",
        "inbox",
        "is_finishing",
        "is_stopping",
        "number",
        "param",
        "parents",
        "replaying",
        "services",
        "task",
    )

    def __init__(self, claimed: Claimed, services: Services) -> None:
        self.flow: FlowRef = claimed.flow
        self.number = claimed.incarnation
        self.param = claimed.param
        self.crashes = claimed.crashes
        self.parents: tuple[Parent, ...] = claimed.parents
        self.effects: dict[str, Effect] = {}
        self._marked: set[str] | None = None
        for effect in claimed.effects:
            self.remember(effect)
        self.inbox = Inbox(claimed.messages, claimed.inbox)
        self.services = services
        self.replaying = bool(claimed.effects)
        self.ending: Ending | None = None
        self.is_stopping = False
        self.is_finishing = False
        self.task: asyncio.Task[None] | None = None
        self._promised: dict[str, None] | None = None
        self.foreign: set[asyncio.Task[object]] | None = None
        self._active = 1
        self._late_calls = 0
        self._root_stands_still = False
        self._waits: list[Wait] | None = None
        self._unflushed: list[Record] | None = None
        self._cuts = any(effect.kind == Kind.CUT for effect in claimed.effects)

    # the seal

    @property
    def is_sealed(self) -> bool:
        """Whether the incarnation is over."""
        return self.ending is not None

    @property
    def is_suspect(self) -> bool:
        """Whether the flow may be one that takes its process down: it lost it again and again."""
        return self.crashes >= SUSPECT_AFTER

    def seal(self, ending: Ending) -> None:
        """End the incarnation: wake every wait with the signal that takes the user's code down."""
        if self.ending is not None:
            return
        self.ending = ending
        self.services.watch_leaving(self)
        for wait in self._waits or ():
            if not wait.future.done():
                self._resume(wait)
                wait.future.set_exception(signals.Suspended())

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
        """Seal because code and journal do not fit; raise what is returned."""
        self.seal(Parked(self.services.serializer.encode_exception(error)))
        return signals.Suspended()

    # the journal

    def promise(self, key: str) -> None:
        """Somebody took a key and is to await what it stands for."""
        self._promised = self._promised or {}
        self._promised[key] = None

    def is_awaited(self, key: str) -> None:
        """What a key stands for is being awaited."""
        promised = self._promised
        if promised is not None and key in promised:
            del promised[key]
            if not promised:
                self._promised = None  # an emptied dict keeps its size

    def forgotten(self) -> list[str]:
        """Give the keys that were taken and never awaited."""
        return [key for key in self._promised or () if not self.was_cut(key)]

    def remember(self, effect: Effect) -> None:
        """Hold an effect, and remember beneath which keys it lies."""
        key = effect.key
        self.effects[key] = effect
        if "." in key or "/" in key:
            ends = [at for at, mark in enumerate(key) if mark in "./"]
            self._marked = self._marked or set()
            self._marked.update(key[:end] for end in ends)

    def has_beneath(self, key: str) -> bool:
        """Whether anything is recorded beneath a key."""
        return self._marked is not None and key in self._marked

    def recorded(self, key: str, kind: Kind) -> Effect | None:
        """Look a key up. Another kind under the key parks the flow, with both sides named."""
        effect = self.effects.get(key)
        if effect is None:
            if self.replaying:
                self.replaying = False
            return None
        if effect.kind != kind:
            raise self.park(ReplayMismatch(key, f"a {kind.value}", f"a {effect.kind}"))
        return effect

    def was_cut(self, key: str) -> bool:
        """Whether the user's own cancel cut this effect or wait."""
        return self._cuts and f"{key}.cut" in self.effects

    async def record(
        self, effect: Effect, *, consumes: int | None = None, clears: bool = False
    ) -> None:
        """Write an effect and wait for its commit. A cancel waits for it, and then goes on.

        Raises `Suspended` if the incarnation is over or not this replica's any more.
        """
        entry = self._hand_over(effect, consumes, clears=clears)
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

    def _hand_over(self, effect: Effect, consumes: int | None, *, clears: bool) -> RecordEntry:
        committer = self._ready_committer()
        self.remember(effect)
        return committer.record(Record(self.flow.number, self.number, effect, consumes, clears))

    def _ready_committer(self) -> Committer:
        """Give the committer, after what was kept for the next write; raises the signal."""
        if self.ending is not None:
            self.check_sealed()
        committer = self.services.committer
        if self._unflushed:
            for record in self.take_unflushed():
                committer.record(record, on_lost=self._not_landed)
        return committer

    def queue_and_go_on(self, effect: Effect) -> None:
        """Hand an effect over and go on at once; order is kept. If it is refused, all ends here.

        It is not held in memory: whoever records it keeps what it says.
        """
        committer = self._ready_committer()
        committer.record(Record(self.flow.number, self.number, effect), on_lost=self._not_landed)

    def keep(self, effect: Effect, *, clears: bool = False) -> None:
        """Remember an effect until something else is written; a crash before that forgets it."""
        self.check_sealed()
        self.remember(effect)
        self._unflushed = self._unflushed or []
        self._unflushed.append(Record(self.flow.number, self.number, effect, None, clears))

    def take_unflushed(self) -> list[Record]:
        """Give what `keep` has kept, once."""
        records, self._unflushed = self._unflushed or [], None
        return records

    async def cut(self, key: str) -> None:
        """Record that the user's own cancel cut an effect or wait, before control returns (H22)."""
        if self.ending is not None or self.was_cut(key):
            return
        self._cuts = True
        effect = Effect(f"{key}.cut", Kind.CUT, "null", incarnation=self.number)
        entry = self._hand_over(effect, None, clears=False)
        await entry.land()

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

    # waiting

    def begin_wait(self, wait: Wait) -> None:
        """A branch begins to wait; if it was the last one running, the flow is blocked."""
        self.check_open()
        if self._waits is None:
            self._waits = []
        self._waits.append(wait)
        if wait.counted:
            self.leave_branch()
        if self.foreign:
            self._look_again(None)

    def set_alarm(self, wait: Wait) -> None:
        """Wake a wait at its deadline on the store's clock."""
        if wait.deadline is not None:
            wait.incarnation = self
            clock = self.services.clock
            seconds = max(0.0, (wait.deadline - self.services.replica.now()) / 1_000_000)
            wait.alarm = clock.call_at(clock.monotonic() + seconds, wait)

    def end_wait(self, wait: Wait) -> None:
        """The branch goes on, woken or cancelled."""
        if self._waits is not None and wait in self._waits:
            self._resume(wait)
        if wait.alarm is not None:
            wait.alarm.cancel()

    def wake(self, wait: Wait) -> None:
        """Let a waiting branch look again."""
        if not wait.future.done():
            self._resume(wait)
            wait.future.set_result(None)

    def _resume(self, wait: Wait) -> None:
        waits = self._waits
        if waits is not None and wait in waits:
            if self.ending is None:
                waits.remove(wait)
            if wait.counted:
                wait.counted = False
                self.enter_branch()
            self._bring_root_back()

    def _bring_root_back(self) -> None:
        if self._root_stands_still:
            self._root_stands_still = False
            self.enter_branch()

    def leave_foreign(self) -> None:
        """An effect in a task of the user's is over; that task, or who awaits it, runs on."""
        self._bring_root_back()
        self.leave_branch()
        self._look_again(None)

    def _look_at_root(self) -> None:
        """A task of the user's began to wait: maybe the flow's own task waits for nothing else."""
        if self._active != 1 or self.ending is not None or self.task is None:
            return
        futures = {id(wait.future) for wait in self._waits or ()}
        if id(awaited_by(self.task)) in futures:
            return  # it said so itself, and what still runs is an effect in another task
        running = running_behind(self.task, lambda awaited: id(awaited) in futures)
        if not running:
            self._root_stands_still = True
            self.leave_branch()
        for task in running:
            if task is not self.task:
                task.remove_done_callback(self._look_again)
                task.add_done_callback(self._look_again)

    def _look_again(self, _: object) -> None:
        asyncio.get_running_loop().call_soon(self._look_at_root)

    def enter_branch(self) -> None:
        """One more branch runs."""
        if self._active == 0:
            self.services.rest.begin()
            self.services.warmth.warm(self)
        self._active += 1

    def leave_branch(self) -> None:
        """One branch less runs."""
        self._active -= 1
        if self._active == 0:
            self.services.warmth.cool(self, self._stay())
            self.services.rest.end()

    @property
    def is_blocked(self) -> bool:
        """Whether all branches wait."""
        return self._active == 0

    def _stay(self) -> float:
        """How long the most patient wait wants to be held; a suspect makes room for the next."""
        if self.is_suspect:
            return 0.0
        default = self.services.settings.suspend_after
        stays = (default if wait.stay is None else wait.stay for wait in self._waits or ())
        return max(stays, default=default)

    def suspend(self) -> None:
        """Leave memory: seal, due at the first deadline of the waits."""
        deadlines = [wait.deadline for wait in self._waits or () if wait.deadline is not None]
        self.seal(Suspended(min(deadlines, default=None)))

    def deliver(self, message: Message) -> None:
        """Take a message in and wake whoever may want it."""
        if self.inbox.add(message):
            for wait in list(self._waits or ()):
                if wait.names is None or message.type in wait.names or message.key in wait.names:
                    self.wake(wait)

    def has_read(self, counter: int) -> None:
        """The inbox is known up to a counter; what comes after the seal stays unread."""
        if self.ending is None:
            self.inbox.counter = max(self.inbox.counter, counter)

    # telling

    def emit(self, name: str, text: str, level: int = logging.INFO) -> None:
        """Tell an event about this flow."""
        self.services.events.emit(Event(name, text, self.flow.type, self.flow.id, level))

    def adopt_foreign(self) -> None:
        """Remember the running task: the engine did not begin it, and must see it end."""
        task = asyncio.current_task()
        self.foreign = self.foreign or set()
        if task is not None and task not in self.foreign:
            self.foreign.add(task)
            task.add_done_callback(self._ignore_after_seal)

    def _ignore_after_seal(self, task: asyncio.Task[object]) -> None:
        if self.ending is not None and not task.cancelled():
            task.exception()  # the signal: asyncio need not say that nobody asked for it
