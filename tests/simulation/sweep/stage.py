"""Where one run takes place: processes with real apps, one database, virtual time, no chance."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from datetime import timedelta
from typing import Any

from tests.crash import ledger, snapshot
from tests.crash.checker.history import FINAL, Death
from tests.crash.ledger import Line
from tests.simulation.loop import PROCESS, SimulatedLoop
from tests.simulation.sweep.database import empty_store
from tests.simulation.sweep.faults import Blow
from tests.simulation.sweep.network import LEASE, Network, Weather
from tests.simulation.sweep.store import SweptStore
from tests.simulation.tape import Tape
from tests.simulation.world import SimulatedClock
from unbroken import Unbroken
from unbroken.stores.batch import Batch, Receipt

RESTART = 0.5
POLL = timedelta(seconds=5)
SKEW = 3600.0
LOOK = 0.05
GRACE = timedelta(seconds=1)

Main = Callable[[], Coroutine[Any, Any, None]]


class Process:
    """A program that is started again whenever it was killed, until it has run to its end."""

    def __init__(self, stage: Stage, name: str, main: Main) -> None:
        self.name = name
        self.number = 0
        self.is_over = False
        self.error: BaseException | None = None
        self._stage = stage
        self._main = main
        self._context = copy_context()
        self.begin()

    def begin(self) -> None:
        """Start it as a process that was never there before."""
        self.number = self._stage.new_number()
        context = self._context.copy()
        context.run(PROCESS.set, self.number)
        self._stage.loop.create_task(self._live(), context=context)

    async def _live(self) -> None:
        try:
            await self._main()
        except Exception as error:
            self.error = error
        self.is_over = True
        self._stage.look()


class Stage:
    """Everything of one run."""

    def __init__(self, blows: Sequence[Blow] = ()) -> None:
        tape = Tape(0, [])
        self.loop = SimulatedLoop(tape)
        self.clock = SimulatedClock(self.loop)
        self.network = Network(self.loop, Weather(self.loop, blows), self)
        self.lines: list[Line] = []
        self.deaths: list[Death] = []
        self.is_finished = False
        self._processes: list[Process] = []
        self._counts: Counter[str] = Counter()
        self._waiting: list[asyncio.Future[None]] = []
        self._killed: set[int] = set()
        self._remains: set[asyncio.Task[Any]] = set()
        self.database, self._store = empty_store(self.clock)

    # what the ledger asks

    def write(self, kind: str, flow: str, effect: str, **more: Any) -> None:
        """Take a line down, at this moment, for the process that runs."""
        at = int(self.loop.time() * 1_000_000)
        self.lines.append(Line(at, self.clock.now(), PROCESS.get(), kind, flow, effect, **more))
        self.look()

    def look(self) -> None:
        """Let everybody who waits for something look whether it is so."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    def count(self, name: str) -> int:
        """Count one more under a name and give how many there are."""
        self._counts[name] += 1
        return self._counts[name]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something is so; looks again at each line and whenever it is told."""
        while not holds():
            told = self.loop.create_future()
            self._waiting.append(told)
            await told

    # what the store tells

    def answered(self, batch: Batch, receipt: Receipt | None) -> None:
        """Take down what a process heard of its batch."""
        ledger.write(
            "fenced" if receipt is None else "landed", effect=batch.replica, value=batch.number
        )

    def landed(self, batch: Batch) -> None:
        """Take down which states can be seen from now on."""
        for number in {state.flow for state in batch.states}:
            (body,) = self.database.execute(
                "SELECT body FROM states WHERE flow = ?", (number,)
            ).fetchone()
            self.write("published", "", "", value={"flow": number, "state": body})

    # processes

    def begin(self, name: str, main: Main) -> None:
        """Start a process."""
        self._processes.append(Process(self, name, main))

    def new_number(self) -> int:
        """Give the number of a process that was never there before."""
        return self.count("processes")

    def app(self, **settings: Any) -> Unbroken:
        """Make an app for the process that runs; its own wall clock is wrong by an hour."""
        number = PROCESS.get()
        app = Unbroken(
            "sqlite://",
            lease=timedelta(seconds=LEASE),
            poll_interval=POLL,
            clock=SimulatedClock(self.loop, SKEW if number % 2 else -SKEW),
            random=_Counting(self),
            **settings,
        )
        app._store = SweptStore(self._store, self.network, self)

        async def run_in_place(call: Callable[[], object]) -> object:
            await asyncio.sleep(0)
            return call()

        app._run_in_thread = run_in_place
        app._watch_loop = lambda: None  # a thread of the real world
        return app

    def kill(self, process: int) -> None:
        """End a process as SIGKILL does; it is started again a moment later."""
        if process in self._killed:
            return
        self._killed.add(process)
        self._write_as_world("killed", process)
        # What is left of it must do nothing more, nor clean up after itself.
        self._remains |= asyncio.all_tasks(self.loop)
        self.loop.kill(process)
        self.deaths.append(Death(int(self.loop.time() * 1_000_000), self.snapshot()))
        for one in self._processes:
            if one.number == process:
                self.network.later(RESTART, one.begin)

    def freeze(self, process: int, seconds: float) -> None:
        """Let a process stand still for a while."""
        self._write_as_world("stopped", process)
        self.loop.freeze(process, seconds)
        self.network.later(seconds, lambda: self.write("continued", "", "", value=process))

    def _write_as_world(self, kind: str, process: int) -> None:
        token = PROCESS.set(0)
        self.write(kind, "", "", value=process)
        PROCESS.reset(token)

    # the end

    def finish(self) -> None:
        """Tell every process that nothing is left to do."""
        self.is_finished = True
        self.look()

    async def until_all_flows_have_ended(self) -> None:
        """Wait until nothing is left to do."""
        while self._lives():  # noqa: ASYNC110 - of all processes
            await asyncio.sleep(LOOK)

    async def until_all_processes_are_over(self) -> None:
        """Wait until every program has run to its end."""
        await self.until(lambda: all(one.is_over for one in self._processes))

    def _lives(self) -> bool:
        rows = self.database.execute("SELECT DISTINCT status FROM flows")
        return any(status not in FINAL for (status,) in rows)

    def errors(self) -> list[str]:
        """Tell what programs died of."""
        return [
            f"error: {one.name}: {type(one.error).__name__}: {one.error}"
            for one in self._processes
            if one.error is not None
        ]

    def snapshot(self) -> snapshot.Snapshot:
        """Read the database without a line of our own store."""
        return snapshot.read(self.database)

    def end(self) -> None:
        """Let go of what is under way, and of the loop."""
        self.network.end()
        self.loop.close()


class _Counting:
    """Chance that is none: the middle of everything, and ids that count."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def fraction(self) -> float:
        return 0.5

    def new_id(self) -> str:
        return f"id{self._stage.count('ids')}"
