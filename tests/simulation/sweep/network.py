"""The way between processes and the one store: it counts operations, and strikes some of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

from tests.simulation.loop import PROCESS, SimulatedLoop
from tests.simulation.sweep.database import drive
from tests.simulation.sweep.faults import AT_A_READ, Blow, Fault, Spell, is_read
from unbroken.model.errors import OutcomeUnknown, StoreUnavailable

T = TypeVar("T")
Act = Callable[[], None]
Operation: TypeAlias = Coroutine[Any, Any, T]

LEASE = 2.0
TRAVEL = 0.0005
MOMENT = 0.05
SLOW = 0.5
PAST_THE_LEASE = 2.5 * LEASE
UNTIL_HEALED = 2.5 * LEASE
MANY = 5000
# How long it is under way, and its answer.
THERE: dict[Fault | None, float] = {
    Fault.SLOW: SLOW,
    Fault.STALLED: PAST_THE_LEASE,
    Fault.FREEZE_BEFORE: PAST_THE_LEASE + TRAVEL,
}
FREEZING = frozenset({Fault.FREEZE_BEFORE, Fault.FREEZE_AFTER})
BACK: dict[Fault | None, float] = {Fault.SLOW: SLOW, Fault.STALLED_BACK: PAST_THE_LEASE}
# Of the others an unknown outcome is one to try again.
MAY_BE_UNKNOWN = frozenset({"commit", "register", "beat", "settle"})


class Processes(Protocol):
    """Who can be killed, and stand still."""

    def kill(self, process: int) -> None:
        """End a process as SIGKILL does."""
        ...

    def freeze(self, process: int, seconds: float) -> None:
        """Let a process stand still."""
        ...


class More(Generic[T]):
    """What else there is to an operation: how to send it again, and who hears that it landed.

    `applied` is called in the moment it lands, and says whether others may want to hear of it.
    """

    def __init__(
        self,
        again: Callable[[], Operation[T]] | None = None,
        applied: Callable[[T], bool] = lambda _: False,
    ) -> None:
        self.again = again
        self.applied = applied


class Weather:
    """Which fault meets which operation."""

    def __init__(self, loop: SimulatedLoop, blows: Sequence[Blow]) -> None:
        self._loop = loop
        self._blows = {blow.number: blow for blow in blows}
        self._lasting: list[tuple[float, Fault, int | None]] = []

    def fault(self, number: int, process: int, what: str) -> Fault | None:
        """Say what becomes of an operation; None: nothing special."""
        now = self._loop.time()
        blow = self._blows.get(number)
        if blow is not None and blow.spell is not Spell.ONCE:
            whose = process if blow.spell is Spell.PROCESS else None
            self._lasting.append((now + UNTIL_HEALED, blow.fault, whose))
        fault = blow.fault if blow is not None else self._lasting_fault(now, process)
        if fault is not None and is_read(what):
            fault = AT_A_READ.get(fault, fault)
        return fault

    def _lasting_fault(self, now: float, process: int) -> Fault | None:
        for until, fault, whose in self._lasting:
            if now < until and whose in {None, process}:
                return fault
        return None


class Network:
    """Carries operations to the store and answers back."""

    def __init__(self, loop: SimulatedLoop, weather: Weather, processes: Processes) -> None:
        self.loop = loop
        self.passed: list[str] = []
        self.met: Counter[str] = Counter()
        self._weather = weather
        self._processes = processes
        self._wakes: list[tuple[Context, Act, Act]] = []
        self._under_way: set[Operation[Any]] = set()

    async def carry(self, what: str, operation: Awaitable[T], more: More[T] | None = None) -> T:
        """Bring an operation to the store and its answer back, or not."""
        assert len(self.passed) < MANY, "it goes on and on"
        self.passed.append(what)
        fault = self._weather.fault(len(self.passed), PROCESS.get(), what)
        self.met["fair" if fault is None else fault.value] += 1
        trip = Trip(self, what, cast("Operation[T]", operation), more or More())
        trip.begin(fault, self._processes)
        return await trip.answer

    def send(
        self, seconds: float, operation: Operation[T], land: Callable[[Operation[T]], None]
    ) -> None:
        """Let an operation arrive after so long."""

        def arrive() -> None:
            self._under_way.discard(operation)
            land(operation)

        self._under_way.add(operation)
        self.later(seconds, arrive)

    def end(self) -> None:
        """Forget what is still under way."""
        for operation in self._under_way:
            operation.close()

    def later(self, seconds: float, act: Act) -> None:
        """Do something as the world, which no process can undo."""
        token = PROCESS.set(0)
        try:
            self.loop.call_later(seconds, act)
        finally:
            PROCESS.reset(token)

    def listen(self, wake: Act, regroup: Act) -> None:
        """Call back when another process wrote."""
        self._wakes.append((copy_context(), wake, regroup))

    def tell(self, writer: int, *, regroup: bool) -> None:
        """A process wrote something that others may want to hear of."""
        for context, wake, look in self._wakes:
            if context[PROCESS] != writer:
                self.loop.call_later(TRAVEL, look if regroup else wake, context=context)


class Trip:
    """One operation under way."""

    def __init__(
        self, network: Network, what: str, operation: Operation[Any], more: More[Any]
    ) -> None:
        self.answer: asyncio.Future[Any] = network.loop.create_future()
        self._network = network
        self._name = what.partition(" ")[0]
        self._process = PROCESS.get()
        self._operation = operation
        self._more = more
        self._is_told = True

    def begin(self, fault: Fault | None, processes: Processes) -> None:
        """Set out; what comes of it is told to the future."""
        self._is_told = fault is not Fault.UNTOLD
        match fault:
            case Fault.REFUSED | Fault.READ_ONLY:
                self._operation.close()
                refused = StoreUnavailable("simulated: nothing was applied")
                self._network.later(2 * TRAVEL, lambda: self._fail(refused))
            case Fault.LOST | Fault.LATE | Fault.VERY_LATE:
                self._network.later(2 * TRAVEL, lambda: self._fail(self._unknown()))
                self._give_up(fault)
            case Fault.CRASH_BEFORE:
                self._operation.close()
                processes.kill(self._process)
            case _:
                if fault in FREEZING:
                    processes.freeze(self._process, PAST_THE_LEASE)
                land = partial(self._land, fault, processes)
                self._network.send(THERE.get(fault, TRAVEL), self._operation, land)

    def _give_up(self, fault: Fault) -> None:
        if fault is Fault.LOST:
            self._operation.close()
            return
        delay = MOMENT if fault is Fault.LATE else PAST_THE_LEASE
        self._network.send(delay, self._operation, self._land_for_nobody)

    def _land(self, fault: Fault | None, processes: Processes, operation: Operation[Any]) -> None:
        try:
            result, error = self._apply(operation), None
        except Exception as raised:
            result, error = None, raised
        if fault is Fault.CRASH_AFTER:
            processes.kill(self._process)
            return
        if fault is Fault.DOUBLED and self._more.again is not None:
            self._network.send(MOMENT, self._more.again(), self._land_for_nobody)
        if fault is Fault.UNKNOWN:
            error = self._unknown()
        self._network.later(BACK.get(fault, TRAVEL), lambda: self._tell(result, error))

    def _apply(self, operation: Operation[T]) -> T:
        result = drive(operation)
        is_heard = self._more.applied(result)
        if is_heard and self._is_told:
            self._network.tell(self._process, regroup=self._name == "register")
        return result

    def _land_for_nobody(self, operation: Operation[Any]) -> None:
        try:
            result = self._apply(operation)
        except Exception:
            self._network.met["late and refused"] += 1
        else:
            outcome = "fenced" if result is None else "landed"
            self._network.met[f"late and {outcome}"] += 1

    def _unknown(self) -> Exception:
        kind = OutcomeUnknown if self._name in MAY_BE_UNKNOWN else StoreUnavailable
        return kind("simulated: the answer was lost")

    def _tell(self, result: object, error: Exception | None) -> None:
        if error is not None:
            self._fail(error)
        elif not self.answer.done():
            self.answer.set_result(result)

    def _fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # a process that was killed meanwhile never asks
