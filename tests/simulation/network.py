"""What lies between the replicas and the one database: operations travel, get lost, arrive late."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, Generic, NamedTuple, TypeVar, cast

from tests.simulation.faults import Fault, Spell, Weather
from tests.simulation.loop import PROCESS, SimulatedLoop
from tests.simulation.marks_watching import Watch
from tests.simulation.tape import Tape
from tests.simulation.trouble import BEGIN, COMMIT, SharedConnection, Trouble
from unbroken.model.errors import OutcomeUnknown, StoreUnavailable
from unbroken.stores.batch import Batch

T = TypeVar("T")

READS = frozenset(
    (
        *("poll", "owned", "load", "read_inbox", "find", "view", "read_effects", "read_state"),
        *("read_reply", "correlated", "places", "list_flows"),
    )
)
# Only these may raise OutcomeUnknown; of the others an unknown outcome is one to try again.
MAY_BE_UNKNOWN = ("commit", "register", "beat", "settle")
LEASE = 2.0
PATIENCE = 1.0
WHOLE_STORE = 0


class Proof(NamedTuple):
    """A process learned, at a moment, that what it sent earlier has kept its identity alive."""

    at: float
    process: int
    sent: float


class Flight(Generic[T]):
    """One operation under way."""

    __slots__ = ("again", "answer", "batch", "name", "process", "result", "running", "spell")

    def __init__(
        self, name: str, running: Coroutine[Any, Any, T], answer: asyncio.Future[T]
    ) -> None:
        self.name = name
        self.running: Coroutine[Any, Any, T] | None = running
        self.answer = answer
        self.process = PROCESS.get()
        self.batch: Batch | None = None
        self.again: Callable[[], Coroutine[Any, Any, T]] | None = None
        self.spell: Spell | None = None
        self.result: Any = None

    @property
    def is_read(self) -> bool:
        return self.name in READS

    def fail(self, error: Exception) -> None:
        """Tell who waits, if anyone does, that it failed."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # a process that was killed meanwhile never asks

    def lose(self) -> None:
        """The answer will never come."""
        text = "simulated: the answer was lost"
        is_unknown = self.name in MAY_BE_UNKNOWN
        self.fail(OutcomeUnknown(text) if is_unknown else StoreUnavailable(text))

    def succeed(self, result: T) -> None:
        """Give who waits, if anyone does, the answer."""
        if not self.answer.done():
            self.answer.set_result(result)

    def drop(self) -> None:
        """It never arrives."""
        if self.running is not None:
            self.running.close()
            self.running = None


class Network:
    """Carries operations between replicas and the one database."""

    database: SharedConnection

    def __init__(self, loop: SimulatedLoop, tape: Tape, weather: Weather) -> None:
        self.loop = loop
        self.tape = tape
        self.weather = weather
        self.met: Counter[str] = Counter()
        self.watch = Watch()
        self.broken: list[str] = []
        """Promises that the network itself saw broken."""
        self.proofs: list[Proof] = []
        self.before_write: Callable[[Batch | None], None] = _nothing
        self._outside: Context = copy_context()
        self._listeners: list[tuple[int, Context, Callable[[], None], Callable[[], None]]] = []
        self._spells: dict[int, tuple[Spell, float]] = {}
        self._flights: dict[Flight[Any], None] = {}

    async def carry(
        self,
        what: str,
        operation: Any,
        batch: Batch | None = None,
        again: Callable[[], Any] | None = None,
    ) -> Any:
        """Bring an operation to the store and its answer back, or not."""
        running = cast("Coroutine[Any, Any, Any]", operation)
        name = what.partition(" ")[0]
        flight = Flight(name, running, self.loop.create_future())
        flight.batch, flight.again = batch, again
        if self._spells:
            flight.spell = self._spell_over(flight.process)
        fault = self._fault_of(flight)
        self.met[fault.value] += 1
        if fault is not Fault.NONE:
            self.watch.note(f"operation: {fault.value}")
        self._flights[flight] = None
        try:
            self._send(flight, fault)
            return await flight.answer
        finally:
            self._flights.pop(flight, None)

    def _fault_of(self, flight: Flight[Any]) -> Fault:
        fault = self.weather.fault(self.tape)
        if self.weather.rejects and _is_of_several(flight.batch) and self.tape.is_one_in(2):
            return Fault.REJECTED
        if fault is Fault.NONE:
            return fault
        if flight.is_read and fault in {Fault.UNKNOWN, Fault.LATE, Fault.ABORTED}:
            return Fault.REFUSED
        if fault is Fault.DOUBLED and flight.again is None:
            return Fault.SLOW
        return fault

    def _send(self, flight: Flight[Any], fault: Fault) -> None:
        there, back = self._travel(fault), self._travel(fault)
        if flight.spell is Spell.CUT_OFF or flight.spell is Spell.FAILED_OVER:
            self.watch.note(f"spell: {flight.spell.value}")
            flight.drop()
            pause = PATIENCE if flight.spell is Spell.CUT_OFF else 0.01
            self.later(pause, flight.lose)
        elif fault is Fault.REFUSED:
            flight.drop()
            error = StoreUnavailable("simulated: nothing was applied")
            self.later(back, lambda: flight.fail(error))
        elif fault is Fault.LATE:
            self._send_late(flight, there, back)
        elif fault is Fault.STALLED:
            stall = LEASE * self.tape.pick((1.1, 2.0, 4.0))
            there, back = (there + stall, back) if self.tape.is_one_in(2) else (there, back + stall)
            self.later(there, lambda: self._arrive(flight, fault, back))
        else:
            self.later(there, lambda: self._arrive(flight, fault, back))

    def _send_late(self, flight: Flight[Any], there: float, back: float) -> None:
        late = self.tape.pick((0.05, 0.5, 5.0, 40.0, -1.0))
        self.later(back, flight.lose)
        self._doubt(flight)
        if late < 0:
            flight.drop()
        else:
            self.later(there + late, lambda: self._arrive_for_nobody(flight))

    def _arrive(self, flight: Flight[Any], fault: Fault, back: float) -> None:
        """Apply an operation, and send the answer back."""
        if flight.running is None:
            return
        if self._spells:
            spell, until = self._spell_and_end(flight.process)
            if spell is Spell.STANDING and until > self.loop.time():
                self.watch.note(f"spell: {spell.value}")
                self.later(until - self.loop.time(), lambda: self._arrive(flight, fault, back))
                return
            flight.spell = spell
        try:
            result = self._apply(flight, fault)
        except Exception as error:
            raised = error
            if isinstance(error, OutcomeUnknown):
                self._doubt(flight)
            self.later(back, lambda: flight.fail(raised))
            return
        if fault is Fault.UNKNOWN:
            self._doubt(flight)
            self.later(back, flight.lose)
        else:
            self.later(back, lambda: flight.succeed(result))
        if fault is Fault.DOUBLED:
            self._send_again(flight)

    def _apply(self, flight: Flight[T], fault: Fault) -> T:
        running, flight.running = flight.running, None
        assert running is not None
        if not flight.is_read:
            self.before_write(flight.batch)
        trouble = self._trouble(flight, fault)
        if fault is Fault.REJECTED:
            self.watch.note("batch: split")
        if trouble is None:
            result = drive(running)
        else:
            result = self.database.troubled(trouble, lambda: drive(running))
        flight.result = result
        if flight.batch is not None:
            self.watch.applied(flight.batch, flight.result, somebody_waits=not flight.answer.done())
        return result

    def _doubt(self, flight: Flight[Any]) -> None:
        """Nobody will know what became of an operation."""
        if flight.batch is not None:
            self.watch.lost(flight.batch, flight.result)

    def _trouble(self, flight: Flight[Any], fault: Fault) -> Trouble | None:
        """Say what the database complains of, if it does."""
        if fault is Fault.REJECTED:
            return Trouble(sqlite3.SQLITE_TOOBIG, 2)
        if fault is Fault.ABORTED:
            return Trouble(sqlite3.SQLITE_BUSY, self.tape.pick((COMMIT, BEGIN, 1, 2, 3)))
        if flight.spell is None or flight.is_read:
            return None
        if flight.spell is Spell.READ_ONLY:
            self.watch.note(f"spell: {flight.spell.value}")
            return Trouble(sqlite3.SQLITE_READONLY, BEGIN)
        if flight.spell is Spell.FULL:
            self.watch.note(f"spell: {flight.spell.value}")
            return Trouble(sqlite3.SQLITE_FULL, self.tape.pick((BEGIN, COMMIT)))
        return None

    def _arrive_for_nobody(self, flight: Flight[Any]) -> None:
        if flight.running is None:
            return
        try:
            result = self._apply(flight, Fault.NONE)
        except Exception:
            self.watch.note("late: refused")
        else:
            self.watch.note("late: fenced off" if result is None else "late: landed")

    def _send_again(self, flight: Flight[Any]) -> None:
        """The same bytes arrive once more: what has a number must be refused."""
        assert flight.again is not None
        second = Flight(flight.name, flight.again(), self.loop.create_future())
        second.process = flight.process
        # A registration that came again after its process was dead and forgotten would let that
        # process's first batch in again: so late, bytes come once (see docs/reliability.md).
        delay = self.tape.pick((0.0, 0.01, 1.0, 1.0 if flight.name == "register" else 10.0))
        self.later(delay, lambda: self._arrive_again(second))

    def _arrive_again(self, flight: Flight[Any]) -> None:
        running, flight.running = flight.running, None
        assert running is not None
        try:
            result = drive(running)
        except Exception:
            self.watch.note("doubled: refused")
            return
        if flight.name == "commit" and result is not None:
            self.broken.append("doubled: a batch was applied twice")
        self.watch.note("doubled: fenced off" if result is None else "doubled: harmless")

    def _travel(self, fault: Fault) -> float:
        if fault is Fault.SLOW:
            return self.tape.pick((0.2, 1.0, 4.0))
        return self.tape.pick((0.0, 0.0005, 0.002, 0.01))

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Do something as the world, which no process can undo."""
        self.loop.call_at(self.loop.time() + seconds, callback, context=self._outside)

    def was_heard(self, sent: float) -> None:
        """The process that runs learns that something it sent has kept it alive."""
        self.proofs.append(Proof(self.loop.time(), PROCESS.get(), sent))

    # spells

    def cast(self, spell: Spell, process: int, seconds: float) -> None:
        """Let a spell lie over one process's way to the store, or over the whole store."""
        if spell is Spell.FAILED_OVER:
            self._cut_all()
            process = WHOLE_STORE
        self._spells[process] = (spell, self.loop.time() + seconds)

    def heal(self) -> None:
        """End every spell."""
        self._spells.clear()

    def _spell_over(self, process: int) -> Spell | None:
        return self._spell_and_end(process)[0]

    def _spell_and_end(self, process: int) -> tuple[Spell | None, float]:
        for place in (WHOLE_STORE, process):
            spell, until = self._spells.get(place, (None, 0.0))
            if spell is not None and until > self.loop.time():
                return spell, until
        return None, 0.0

    def _cut_all(self) -> None:
        """Cut every connection: what is under way is applied now, or never, and nobody is told."""
        for flight in list(self._flights):
            if flight.running is not None and self.tape.is_one_in(2):
                self._arrive_for_nobody(flight)
            flight.drop()
            self._doubt(flight)
            flight.lose()

    # wake-ups

    def listen(self, wake: Callable[[], None], regroup: Callable[[], None]) -> None:
        """Call back when another process wrote, if the message arrives."""
        self._listeners.append((PROCESS.get(), copy_context(), wake, regroup))

    def tell(self, *, regroup: bool = False) -> None:
        """A process wrote something others may want to hear of."""
        writer, weather = PROCESS.get(), self.weather
        self._listeners = [one for one in self._listeners if not self.loop.is_dead(one[0])]
        for process, context, wake, look in self._listeners:
            if process == writer:
                continue
            if weather.drops_wakes and self.tape.is_one_in(weather.drops_wakes):
                self.watch.note("wake: dropped")
                continue
            times = 1
            if weather.doubles_wakes and self.tape.is_one_in(weather.doubles_wakes):
                times = 2
                self.watch.note("wake: doubled")
            for _ in range(times):
                self.loop.call_later(self._wake_delay(), look if regroup else wake, context=context)

    def _wake_delay(self) -> float:
        odds = self.weather.delays_wakes
        if odds and self.tape.is_one_in(odds):
            self.watch.note("wake: overtaken")
            return 3.0
        return self.tape.pick((0.0, 0.001, 0.05))


def _is_of_several(batch: Batch | None) -> bool:
    """Whether a batch holds nothing but effects, of several flows: each part stands for itself."""
    if batch is None or batch.starts or batch.states or batch.changes or batch.claim:
        return False
    return len({record.flow for record in batch.records}) > 1


def drive(running: Coroutine[Any, Any, T]) -> T:
    """Run an operation of a store that lies in memory: it never waits."""
    try:
        running.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    running.close()
    msg = "an operation of a store in memory waited"
    raise AssertionError(msg)


def _nothing(_: Batch | None) -> None: ...
