"""An event loop whose time is virtual and whose order is a choice.

Each handle belongs to a *process* of the simulated world: the one that was running when it was
made. Within a process the order is asyncio's own; between processes the tape chooses. A process can
be frozen (its handles wait) or killed (they are gone).
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from heapq import heappop, heappush
from typing import Any

from tests.simulation.tape import Tape

PROCESS: ContextVar[int] = ContextVar("simulated process", default=0)
TICK = 1e-6
# Far more than any run needs: who takes so many turns is busy with nothing.
MOST_TURNS = 250_000


class Stuck(Exception):
    """Nothing can ever happen any more."""


class Busy(Exception):
    """Something goes round and round."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs one handle at a time. Process 0 is the world itself."""

    # What the loop of the standard library keeps, and does not tell the type checkers.
    _stopping: bool

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self._tape = tape
        self._time = 0.0
        self._queues: dict[int, deque[Any]] = {}
        self._timers: list[tuple[float, int, Any]] = []
        self._timer_count = 0
        self._thaw_at: dict[int, float] = {}
        self._dead: set[int] = set()
        self.turns = 0

    def time(self) -> float:
        return self._time

    def kill(self, process: int) -> None:
        """Let all that a process has still to do be undone."""
        self._dead.add(process)
        self._queues.pop(process, None)

    def freeze(self, process: int, seconds: float) -> None:
        """Let a process stand still."""
        self._thaw_at[process] = self._time + seconds

    def thaw_all(self) -> None:
        """Let every frozen process go on."""
        self._thaw_at.clear()

    def is_dead(self, process: int) -> bool:
        return process in self._dead

    def is_frozen(self, process: int) -> bool:
        return self._thaw_at.get(process, 0.0) > self._time

    # what asyncio asks of a loop

    def _process_events(self, event_list: object) -> None:
        """There are no sockets."""

    def _write_to_self(self) -> None:
        """There are no other threads."""

    def run_in_executor(self, *_: object) -> Any:
        msg = "a simulated engine has no threads"
        raise AssertionError(msg)

    # The plainest way through what asyncio does in several steps: most of a run's time is here.

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> Any:
        return self.call_at(self._time + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> Any:
        handle = events.Handle(callback, args, self, context)
        self._timer_count += 1
        heappush(self._timers, (when, self._timer_count, handle))
        return handle

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> events.Handle:
        handle = events.Handle(callback, args, self, context)
        self._enqueue(handle)
        return handle

    def _enqueue(self, handle: Any) -> None:
        process = handle._context.get(PROCESS, 0)
        queue = self._queues.get(process)
        if queue is not None:
            queue.append(handle)
        elif process not in self._dead:
            self._queues[process] = deque((handle,))

    def _run_once(self) -> None:
        timers, queues = self._timers, self._queues
        if timers and timers[0][0] <= self._time:
            self._take_due()
        if len(queues) == 1 and not self._thaw_at:
            (process,) = queues
        else:
            runnable = self._runnable()
            process = runnable[self._tape.draw(len(runnable))] if len(runnable) > 1 else runnable[0]
        queue = queues[process]
        handle = queue.popleft()
        if not queue:
            del queues[process]
        if not handle._cancelled:
            self.turns += 1
            self._time += TICK
            handle._run()
            if self.turns > MOST_TURNS:
                raise Busy(f"busy after {self.turns} turns")

    def _runnable(self) -> list[int]:
        """Give the processes that have something to do, after as much time as that takes."""
        while True:
            if not self._thaw_at:
                runnable = list(self._queues)
            else:
                runnable = [process for process in self._queues if not self.is_frozen(process)]
            if runnable:
                return runnable
            self._pass_time()
            self._take_due()

    def _take_due(self) -> None:
        timers, now = self._timers, self._time
        while timers and (timers[0][0] <= now or timers[0][2]._cancelled):
            handle = heappop(timers)[2]
            if not handle._cancelled:
                self._enqueue(handle)

    def _pass_time(self) -> None:
        """Jump to the next timer or thaw; nothing is ready until then."""
        moments = [when for when in self._thaw_at.values() if when > self._time]
        if self._timers:
            moments.append(self._timers[0][0])
        if not moments and not self._stopping:
            raise Stuck
        if moments:
            self._time = max(self._time, min(moments))
