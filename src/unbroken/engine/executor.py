"""Runs incarnations: user code between a claim and the one write that says how it ended.

Whatever the user's code returns or raises after the seal is ignored. An ending that the store does
not accept because the flow's row moved is decided anew: a suspension runs the flow again with what
came, an end tells the parents that joined.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from unbroken.engine.completions import Completions, message_of
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.outcomes import Ending, Failed, Lost, Parked, Released, Succeeded, Suspended
from unbroken.engine.scope import SCOPE, Scope
from unbroken.engine.services import Services
from unbroken.model import signals
from unbroken.model.errors import (
    BatchRefused,
    DeserializationError,
    ForgottenAwait,
    StoreError,
    UsageError,
)
from unbroken.model.records import Claimed, Outcome, Status
from unbroken.stores.batch import (
    Answer,
    Appended,
    Change,
    Changed,
    End,
    NewMessage,
    Release,
    Suspend,
)


class Executor:
    """Owns the incarnations in this process."""

    def __init__(self, services: Services, completions: Completions) -> None:
        self._services = services
        self._completions = completions
        self.residents: dict[int, Incarnation] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._emptied: asyncio.Future[None] | None = None
        self._is_stopping = False
        self.on_due: Callable[[int], None] = _ignore
        self.on_moved: Callable[[int], None] = _ignore
        self.on_room: Callable[[], None] = _nothing
        self.on_told: Callable[[Appended, NewMessage], None] = _ignore_told

    def run(self, claimed: Claimed) -> None:
        """Run a flow that this replica owns; a flow that is here already is left alone."""
        number = claimed.flow.number
        if number in self.residents:
            return
        self._services.rest.begin()
        incarnation = self._begin(claimed)
        self.residents[number] = incarnation
        # Held by the incarnation, and that by `residents` for as long as it is in memory.
        incarnation.task = asyncio.create_task(self._run(incarnation), name=claimed.flow.id)

    def _begin(self, claimed: Claimed) -> Incarnation:
        incarnation = Incarnation(claimed, self._services)
        incarnation.is_stopping = self._is_stopping
        return incarnation

    async def _run(self, incarnation: Incarnation) -> None:
        while True:
            try:
                # One frame for a flow in memory: all else happens before it and after it.
                value = await self._first_line(incarnation)
                incarnation.seal(self._returned(incarnation, value))
            except (KeyboardInterrupt, SystemExit):
                incarnation.seal(Lost())  # the process ends: another one takes the flow
                self._forget(incarnation)
                raise
            except BaseException as error:  # noqa: BLE001  a flow's failure becomes data
                incarnation.seal(self._raised(incarnation, error))
            await self._end_foreign(incarnation)
            if incarnation.is_finishing:
                return
            again = await self.finish(incarnation)
            if again is None:
                return
            task = incarnation.task
            incarnation = self._begin(again)
            incarnation.task = task
            self.residents[again.flow.number] = incarnation
            self._services.rest.begin()
            self.on_moved(again.flow.number)

    # user code

    def _first_line(self, incarnation: Incarnation) -> Awaitable[object]:
        """Begin the flow's code, in a scope of its own."""
        flow_type = self._services.types[incarnation.flow.type]
        SCOPE.set(Scope(incarnation, "", asyncio.current_task()))
        args, kwargs = flow_type.decode(incarnation.param)
        incarnation.param = ""  # a run from the first line reads the flow anew
        return flow_type.run(*args, **kwargs)

    def _returned(self, incarnation: Incarnation, value: object) -> Ending:
        if incarnation.is_sealed:
            self._warn_ignored(incarnation, "returned")
            return Lost()
        self._check_forgotten(incarnation)
        returns = self._services.types[incarnation.flow.type].returns
        payload, _ = self._services.serializer.round_trip(value, returns)
        return Succeeded(payload.body, payload.type)

    def _raised(self, incarnation: Incarnation, error: BaseException) -> Ending:
        encode = self._services.serializer.encode_exception
        if isinstance(error, DeserializationError):
            # Stored data that does not fit the code is no failure of the flow.
            return Parked(encode(error))
        if signals.is_signal(error):
            return Lost()
        if incarnation.is_sealed:
            if isinstance(error, Exception):
                self._warn_ignored(incarnation, f"raised {type(error).__name__}")
            return Lost()
        failure = error if isinstance(error, Exception) else _as_failure(error)
        return Failed(encode(failure), error)

    @staticmethod
    def _check_forgotten(incarnation: Incarnation) -> None:
        forgotten = ", ".join(map(repr, incarnation.forgotten()))
        if forgotten:
            raise ForgottenAwait(
                f"the flow ended, but these were called and never awaited: {forgotten}. "
                "Write `await` before them, or leave them out"
            )

    @staticmethod
    async def _end_foreign(incarnation: Incarnation) -> None:
        """Cancel and await tasks that outlived the flow; sealed, they write nothing any more."""
        left = [task for task in incarnation.foreign or () if not task.done()]
        if not left:
            return
        for task in left:
            task.cancel()
        if isinstance(incarnation.ending, (Succeeded, Failed)):
            names = ", ".join(task.get_name() for task in left)
            text = f"tasks were left running at the flow's end and were cancelled: {names}"
            incarnation.emit("flow.tasks_left", text, logging.WARNING)
        with contextlib.suppress(asyncio.CancelledError):  # the grace is over: leave them behind
            await asyncio.wait(left)

    @staticmethod
    def _warn_ignored(incarnation: Incarnation, what: str) -> None:
        if not isinstance(incarnation.ending, (Released, Lost)):
            text = (
                f"the flow's code {what} after it was told to leave memory; that is ignored. "
                "Do not catch BaseException without raising it again"
            )
            incarnation.emit("flow.ignored", text, logging.WARNING)

    # the ending

    def unwind(self, incarnation: Incarnation) -> None:
        """Seal as a suspension: the user's code is to leave memory."""
        incarnation.suspend()

    def watch_leaving(self, incarnation: Incarnation) -> None:
        """The incarnation was sealed: its code may take its time to leave, but not for ever."""
        task = incarnation.task
        if task is None or isinstance(incarnation.ending, (Succeeded, Failed)):
            return
        clock = self._services.clock
        grace = clock.monotonic() + self._services.settings.unwind_grace
        alarm = clock.call_at(grace, lambda: self._leave_behind(incarnation))
        task.add_done_callback(lambda _: alarm.cancel())

    def _leave_behind(self, incarnation: Incarnation) -> None:
        """User code did not leave in time: end without it."""
        is_resident = self.residents.get(incarnation.flow.number) is incarnation
        if incarnation.is_finishing or not is_resident:
            return
        text = "the flow's code did not leave memory in time; it is left behind and cannot write"
        incarnation.emit("flow.left_behind", text, logging.WARNING)
        incarnation.is_finishing = True
        if incarnation.task is not None:
            incarnation.task.cancel()
        self._hold(asyncio.create_task(self._finish_alone(incarnation)))

    def _hold(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _finish_alone(self, incarnation: Incarnation) -> None:
        again = await self.finish(incarnation)
        if again is not None:
            self.run(again)
            self.on_moved(again.flow.number)

    async def finish(self, incarnation: Incarnation) -> Claimed | None:
        """Write the ending; give the flow back if it must run again here."""
        incarnation.is_finishing = True
        try:
            return await self._write_ending(incarnation)
        finally:
            self._forget(incarnation)

    def _forget(self, incarnation: Incarnation) -> None:
        if self.residents.get(incarnation.flow.number) is incarnation:
            del self.residents[incarnation.flow.number]
        self._services.rest.end()
        self.on_room()
        self._say_if_empty()

    def _say_if_empty(self) -> None:
        if not self.residents and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    async def _write_ending(self, incarnation: Incarnation) -> Claimed | None:
        ending = incarnation.ending
        while ending is not None and not isinstance(ending, Lost):
            try:
                answer = await self._submit(incarnation, ending)
            except BatchRefused as error:
                if isinstance(ending, Parked):
                    raise  # not even that: the next audit finds the flow and tries again
                ending = Parked(self._services.serializer.encode_exception(error))
                continue
            if answer is None or answer.answer is Answer.REFUSED:
                return None
            if answer.answer is Answer.ACCEPTED:
                self._ended(incarnation, ending)
                self._tell_parents(incarnation, answer)
                return None
            moved = await self._read_again(incarnation)
            if moved is None:
                return None
            if isinstance(ending, Suspended):
                return moved
            incarnation.parents = moved.parents
        return None

    async def _submit(self, incarnation: Incarnation, ending: Ending) -> Changed | None:
        change = _change_of(incarnation, ending)
        records = incarnation.take_unflushed()
        answers = await self._services.committer.submit(*records, change, inside=True)
        answer = answers[-1] if answers else None
        return answer if isinstance(answer, Changed) else None

    async def _read_again(self, incarnation: Incarnation) -> Claimed | None:
        """Read the flow as it is now; None if it is not ours."""
        services = self._services
        backoff = services.backoff()
        while True:
            try:
                found = await services.store.load(services.replica.id, [incarnation.flow.number])
            except StoreError as error:
                services.replica.report_unavailable(error)
                await backoff.pause()
                continue
            ours = [one for one in found if one.incarnation == incarnation.number]
            return ours[0] if ours else None

    def _ended(self, incarnation: Incarnation, ending: Ending) -> None:
        match ending:
            case Suspended(due_at=due_at):
                if due_at is not None:
                    self.on_due(due_at)
            case Released() | Lost():
                pass
            case Succeeded() | Failed() | Parked():
                live = ending.live if isinstance(ending, Failed) else None
                if isinstance(ending, Failed):
                    incarnation.emit("flow.failed", f"with {type(live).__name__}", logging.WARNING)
                if isinstance(ending, Parked):
                    error = self._services.serializer.error_info(ending.error)
                    incarnation.emit("flow.parked", f"because of {error.type}", logging.ERROR)
                self._completions.resolve(_outcome_of(incarnation, ending), live)

    def _tell_parents(self, incarnation: Incarnation, answer: Changed) -> None:
        """Hand the outcome to parents that run here; the store has told the others."""
        if isinstance(incarnation.ending, (Succeeded, Failed)):
            message = message_of(_outcome_of(incarnation, incarnation.ending))
            for parent, told in zip(incarnation.parents, answer.told, strict=False):
                keyed = NewMessage(parent.key, message.type, message.body)
                self.on_told(told, keyed)

    # stopping

    def stop(self) -> None:
        """Let blocked flows go at once and the others at their next use of the engine."""
        self._is_stopping = True
        for incarnation in list(self.residents.values()):
            incarnation.is_stopping = True
            if incarnation.is_blocked and not incarnation.is_sealed:
                self.unwind(incarnation)

    def stop_now(self, ending: Ending) -> None:
        """Seal everything and cancel what still runs."""
        for incarnation in list(self.residents.values()):
            if not incarnation.is_finishing:
                incarnation.seal(ending)
                if incarnation.task is not None:
                    incarnation.task.cancel()

    def give_up_all(self) -> None:
        """The replica is gone: seal everything; the same flows may come back under another id."""
        self.stop_now(Lost())
        for incarnation in self.residents.values():
            self._hold(incarnation.task)
        self.residents.clear()

    async def empty(self) -> None:
        """Return once no incarnation is left."""
        while self.residents:
            self._emptied = asyncio.get_running_loop().create_future()
            await self._emptied


def _change_of(incarnation: Incarnation, ending: Ending) -> Change:
    flow, number = incarnation.flow, incarnation.number
    match ending:
        case Suspended(due_at=due_at):
            return Suspend(flow, number, incarnation.inbox.counter, due_at)
        case Released():
            return Release(flow, number)
        case Succeeded() | Failed() | Parked():
            outcome = _outcome_of(incarnation, ending)
            told = None if outcome.status == Status.PARKED else message_of(outcome)
            return End(
                flow,
                number,
                outcome.status,
                outcome.body,
                outcome.type,
                outcome.error,
                incarnation.parents if told else (),
                told,
            )
        case Lost():
            msg = "a lost incarnation writes nothing"
            raise AssertionError(msg)


def _outcome_of(incarnation: Incarnation, ending: Succeeded | Failed | Parked) -> Outcome:
    match ending:
        case Succeeded(body=body, type=type_name):
            return Outcome(incarnation.flow, Status.DONE, body, type_name)
        case Failed(error=error):
            return Outcome(incarnation.flow, Status.FAILED, error=error)
        case Parked(error=error):
            return Outcome(incarnation.flow, Status.PARKED, error=error)


def _as_failure(error: BaseException) -> UsageError:
    name = type(error).__name__
    return UsageError(
        f"the flow's own code raised {name}({error}), which is no Exception: raise an error of "
        "your own"
    )


def _ignore(_: int) -> None: ...


def _nothing() -> None: ...


def _ignore_told(told: Appended, message: NewMessage) -> None: ...
