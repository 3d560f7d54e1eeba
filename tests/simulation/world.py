"""One simulated world: replicas that run the real engine, one database, and what torments them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable
from contextvars import copy_context
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from tests.crash import ledger, snapshot
from tests.crash.checker.history import Death
from tests.crash.ledger import Line
from tests.simulation import trouble
from tests.simulation.faults import Weather
from tests.simulation.loop import PROCESS, SimulatedLoop
from tests.simulation.store import Network, SimulatedStore
from tests.simulation.tape import Tape
from unbroken import Unbroken
from unbroken.engine.events import Event
from unbroken.model.clock import Rest
from unbroken.stores.sqlite.store import SqliteStore

BEGINNING = 1_700_000_000_000_000
LEASE = timedelta(seconds=2)
HAS_LIVE = "SELECT 1 FROM flows WHERE status NOT IN ('done', 'failed', 'cancelled') LIMIT 1"
IS_LEFT_ALONE = "SELECT 1 FROM flows WHERE type = ? AND id = ? AND status = 'live' AND NOT cancel"
HAS_MESSAGE = """
    SELECT 1 FROM messages m JOIN flows f ON f.number = m.flow
     WHERE f.type = ? AND f.id = ? AND m.key = ?"""


class SimulatedClock:
    """The loop's time; a replica's own wall clock may be wrong, and each may be set."""

    def __init__(self, loop: SimulatedLoop, skew: float = 0.0) -> None:
        self._loop = loop
        self._skew = int(skew * 1_000_000)

    def now(self) -> int:
        return BEGINNING + int(self._loop.time() * 1_000_000) + self._skew

    def jump(self, seconds: float) -> None:
        """Be set: on or back."""
        self._skew += int(seconds * 1_000_000)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_at(when, callback)

    def attach(self, rest: Rest) -> None:
        """Time passes by itself."""

    def detach(self, rest: Rest) -> None:
        """Time passes by itself."""


class SimulatedRandom:
    """Chance from the tape, and ids that count."""

    def __init__(self, world: World) -> None:
        self._world = world

    def fraction(self) -> float:
        return self._world.tape.fraction()

    def new_id(self) -> str:
        return f"id{self._world.count('ids')}"


class World:
    """Everything of one run."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.weather = Weather(tape)
        self.loop = SimulatedLoop(tape)
        self.network = Network(self.loop, tape, self.weather)
        self.clock = SimulatedClock(self.loop)
        self.clocks: list[SimulatedClock] = []
        """Those of the replicas."""
        self.lines: list[Line] = []
        self._by_kind: defaultdict[str, list[Line]] = defaultdict(list)
        self.deaths: list[Death] = []
        self.events: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._processes = 0
        self.outside = copy_context()
        self.on_death: Callable[[int], None] = self.kill
        self.database = self.network.database = trouble.connect()

    # what the ledger asks

    def write(self, kind: str, flow: str, effect: str, **more: Any) -> None:
        """Take a line down, at the moment of the world, for the process that runs."""
        at = int(self.loop.time() * 1_000_000)
        line = Line(at, self.clock.now(), PROCESS.get(), kind, flow, effect, **more)
        self.lines.append(line)
        self._by_kind[kind].append(line)

    def lines_of(self, kind: str) -> list[Line]:
        """Give the lines of one kind so far."""
        return self._by_kind[kind]

    def count(self, name: str) -> int:
        """Count one more under a name and give how many there are."""
        self._counts[name] += 1
        return self._counts[name]

    # replicas

    def new_process(self) -> int:
        """Give the number of a process that was never there before."""
        self._processes += 1
        return self._processes

    def app(self, flows: tuple[Any, ...], **settings: Any) -> tuple[Unbroken, list[Any]]:
        """Make an app of this world; it belongs to the process that starts it."""
        clock = SimulatedClock(self.loop, self.tape.pick((0.0, 3600.0, -3600.0)))
        self.clocks.append(clock)
        app = Unbroken(
            "sqlite://",
            lease=LEASE,
            poll_interval=timedelta(seconds=1),
            clock=clock,
            random=SimulatedRandom(self),
            **settings,
        )
        if self.tape.is_one_in(4):
            app._settings = replace(app._settings, claim_limit=1, batch_limit=2)
        inner = SqliteStore(None, clock=self.clock, connect=lambda _: self.database)
        app._store = store = SimulatedStore(inner, self.network, self._tell)
        store.app = app
        app.subscribe(self._tell_event)

        async def run_in_place(call: Callable[[], object]) -> object:
            await asyncio.sleep(0)
            return call()

        app._run_in_thread = run_in_place
        app._watch_loop = lambda: None  # a thread of the real world
        return app, [app.register(one) for one in flows]

    def _tell(self, kind: str, replica: str, number: object) -> None:
        self.write(kind, "", replica, value=number)

    def marks(self) -> Counter[str]:
        """Give the marks of the run, at its end."""
        marks = self.network.watch.marks
        marks.take_from(self.lines, self.events)
        return Counter({name: n for name, n in marks.counts.items() if name not in self.events})

    def _tell_event(self, event: Event) -> None:
        self.events[event.name] += 1

    def begin(self, process: int, main: Any) -> asyncio.Task[Any]:
        """Run a coroutine as a process of its own."""
        context = copy_context()
        context.run(PROCESS.set, process)
        return self.loop.create_task(main, context=context)

    def kill(self, process: int) -> None:
        """End a process as SIGKILL does; the store is as it left it."""
        self.write("killed", "", "", value=process)
        self.loop.kill(process)
        self.deaths.append(Death(int(self.loop.time() * 1_000_000), self.snapshot()))

    async def die(self) -> None:
        """End the process that runs this."""
        self.on_death(PROCESS.get())
        await self.loop.create_future()

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Do something in this world, whichever process asks for it and is gone by then."""
        self.loop.call_at(self.loop.time() + seconds, callback, context=self.outside)

    def freeze(self, process: int, seconds: float) -> None:
        """Let a process stand still for a while."""
        self.write("stopped", "", "", value=process)
        self.loop.freeze(process, seconds)
        token = PROCESS.set(0)
        self.loop.call_later(seconds, lambda: self.write("continued", "", "", value=process))
        PROCESS.reset(token)

    def snapshot(self) -> snapshot.Snapshot:
        """Read the database without a line of our own store."""
        if not self.database.execute("SELECT 1 FROM sqlite_master WHERE name = 'flows'").fetchone():
            return snapshot.Snapshot()
        return snapshot.read(self.database)

    def status_of(self, flow: str) -> str | None:
        """Give where a flow stands; None if there is none."""
        type, _, id = flow.partition(" ")
        return self._first("SELECT status FROM flows WHERE type = ? AND id = ?", type, id)

    def is_left_alone(self, flow: str) -> bool:
        """Whether a flow lives and knows of no cancel."""
        type, _, id = flow.partition(" ")
        return self._first(IS_LEFT_ALONE, type, id) is not None

    def has_message(self, flow: str, key: str) -> bool:
        """Whether a message with this key is stored for a flow."""
        type, _, id = flow.partition(" ")
        return self._first(HAS_MESSAGE, type, id, key) is not None

    def has_ended(self) -> bool:
        """Whether no flow is left that has not ended."""
        return self._first(HAS_LIVE) is None

    def _first(self, statement: str, *values: str) -> Any:
        try:
            row = self.database.execute(statement, values).fetchone()
        except sqlite3.OperationalError:
            return None  # there is no schema yet
        return None if row is None else row[0]

    def end(self) -> None:
        """Let go of the database and of the loop."""
        self.database.end()
        self.loop.close()


def install(world: World) -> None:
    """Let ledgers write into this world, in every context made from now on."""
    ledger.WORLD.set(world)
    world.outside = copy_context()
