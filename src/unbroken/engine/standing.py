"""How one incarnation stands: what it waits for, which branches run, whether it may leave memory.

It is *blocked* when all its branches wait. The flow's own task and those that `gather` begins are
counted; what runs in tasks of the user's is looked at (`blocking.py`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from unbroken.engine.blocking import awaited_by, running_behind
from unbroken.engine.journal import Journal
from unbroken.engine.outcomes import Ending
from unbroken.engine.wait import Wait
from unbroken.model import signals
from unbroken.model.records import Claimed

if TYPE_CHECKING:
    from unbroken.engine.services import Services

SUSPECT_AFTER = 2


class Standing(Journal):
    """The waits and branches of one incarnation."""

    __slots__ = (
        "_active",
        "_counted_foreign",
        "_root_stands_still",
        "_waits",
        "crashes",
        "ending",
        "foreign",
        "services",
        "task",
    )

    def __init__(self, claimed: Claimed, services: Services) -> None:
        super().__init__(claimed.effects)
        self.services = services
        self.crashes = claimed.crashes
        self.ending: Ending | None = None
        self.task: asyncio.Task[None] | None = None
        self.foreign: set[asyncio.Task[object]] | None = None
        self._active = 1
        self._counted_foreign: list[asyncio.Task[object]] | None = None
        self._root_stands_still = False
        self._waits: list[Wait] | None = None

    @property
    def is_suspect(self) -> bool:
        """Whether the flow may be one that takes its process down: it lost it again and again."""
        return self.crashes >= SUSPECT_AFTER

    # waits

    def begin_wait(self, wait: Wait) -> None:
        """A branch begins to wait; if it was the last one running, the flow is blocked."""
        self.services.loop_limits.look()
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

    def enter_foreign(self, task: asyncio.Task[object] | None) -> None:
        """A task of the user's counts as a branch from now on."""
        if task is not None:
            self._counted_foreign = [*(self._counted_foreign or ()), task]
        self.enter_branch()

    def leave_foreign(self, task: asyncio.Task[object] | None) -> None:
        """It does not any more: that task, or who awaits it, runs on."""
        left = list(self._counted_foreign or ())
        if task is not None and task in left:
            left.remove(task)
        self._counted_foreign = left or None
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
        running = [
            found
            for task in (self.task, *(self._counted_foreign or ()))
            for found in running_behind(task, lambda awaited: id(awaited) in futures)
        ]
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
            self.goes_on()
        self._active += 1

    def leave_branch(self) -> None:
        """One branch less runs."""
        self._active -= 1
        if self._active == 0:
            self.stands_still(self._stay())

    def goes_on(self) -> None:
        """It is not blocked any more."""
        raise NotImplementedError

    def stands_still(self, stay: float) -> None:
        """It is blocked now, and wants to be held in memory for so many seconds."""
        raise NotImplementedError

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

    def next_deadline(self) -> int | None:
        """Give the first deadline of the waits."""
        deadlines = (wait.deadline for wait in self._waits or ())
        return min((one for one in deadlines if one is not None), default=None)

    def wake_all(self) -> None:
        """Let every waiting branch look again, in the order in which they began to wait."""
        for wait in list(self._waits or ()):
            self.wake(wait)

    def wake_for(self, names: frozenset[str]) -> None:
        """Let those look again that wait for a message of one of these names, or for any."""
        for wait in list(self._waits or ()):
            if wait.names is None or not names.isdisjoint(wait.names):
                self.wake(wait)

    def unwind_waits(self) -> None:
        """Wake every wait with the signal that takes the user's code down."""
        for wait in self._waits or ():
            if not wait.future.done():
                self._resume(wait)
                wait.future.set_exception(signals.Suspended())

    # tasks of the user's

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
