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
from contextvars import copy_context
from functools import partial

from unbroken.engine.cancelling import begin_limit, cancel_message, cancel_of, live_children
from unbroken.engine.completions import Completions, message_of
from unbroken.engine.deploys import check_all_read
from unbroken.engine.endings import again, cancelled, change_of, failed, is_own_cancel, outcome_of
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.outcomes import (
    Cancelled,
    Continued,
    Ending,
    Failed,
    Lost,
    Parked,
    Released,
    Retried,
    Succeeded,
    Suspended,
)
from unbroken.engine.questions import warn_of_unanswered
from unbroken.engine.scope import SCOPE, Scope
from unbroken.engine.services import Services
from unbroken.model import signals
from unbroken.model.errors import BatchRefused, DeserializationError, ForgottenAwait, StoreError
from unbroken.model.records import Claimed
from unbroken.stores.batch import Answer, Appended, Changed, NewMessage

LEFT_BY_ITSELF = (Succeeded, Failed, Retried, Cancelled)


class Executor:
    """Owns the incarnations in this process."""

    def __init__(self, services: Services, completions: Completions) -> None:
        self._services = services
        self._completions = completions
        self.residents: dict[int, Incarnation] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._context = copy_context()
        self._emptied: asyncio.Future[None] | None = None
        self._is_stopping = False
        self._is_over = False
        self.on_due: Callable[[int], None] = _ignore
        self.on_moved: Callable[[int], None] = _ignore
        self.on_room: Callable[[], None] = _nothing

    def run(self, claimed: Claimed, *, again: bool = False) -> None:
        """Run a flow that this replica owns; a flow that is here already is left alone.

        `again`: the same incarnation, because what it waited for came while it was leaving.
        """
        number = claimed.flow.number
        if number in self.residents:
            return
        self._services.rest.begin()
        incarnation = self._begin(claimed)
        self.residents[number] = incarnation
        is_new = claimed.incarnation == 1 and not (again or claimed.effects)
        if is_new and incarnation.cancel is not None:
            incarnation.seal(Cancelled())  # it never begins
        # Held by the incarnation, and that by `residents` for as long as it is in memory.
        incarnation.task = asyncio.create_task(self._run(incarnation), name=claimed.flow.id)

    def _begin(self, claimed: Claimed) -> Incarnation:
        incarnation = Incarnation(claimed, self._services)
        self._services.own_runs.begins(incarnation)
        incarnation.is_stopping = self._is_stopping
        return incarnation

    async def _run(self, incarnation: Incarnation) -> None:
        try:
            # One frame for a flow in memory: all else happens before it and after it.
            value = await self._first_line(incarnation)
            incarnation.seal(self._returned(incarnation, value))
        except GeneratorExit:
            raise  # the event loop is gone
        except (KeyboardInterrupt, SystemExit):
            incarnation.seal(Lost())  # the process ends: another one takes the flow
            self._forget(incarnation)
            raise
        except BaseException as error:  # noqa: BLE001  a flow's failure becomes data
            incarnation.seal(self._raised(incarnation, error))
        await self._end_foreign(incarnation)
        if not incarnation.is_finishing:
            await self._finish_and_go_on(incarnation)

    # user code

    def _first_line(self, incarnation: Incarnation) -> Awaitable[object]:
        """Begin the flow's code, in a scope of its own."""
        if incarnation.is_sealed:
            raise signals.Suspended
        flow_type = self._services.types[incarnation.flow.type]
        if flow_type.timeout is not None:
            begin_limit(incarnation, flow_type.timeout)
        SCOPE.set(Scope(incarnation, "", asyncio.current_task()))
        args, kwargs = flow_type.decode(incarnation.param)
        incarnation.param = ""  # a run from the first line reads the flow anew
        return flow_type.run(*args, **kwargs)

    def _returned(self, incarnation: Incarnation, value: object) -> Ending:
        if incarnation.is_sealed:
            self._warn_ignored(incarnation, "returned")
            return Lost()
        self._check_forgotten(incarnation)
        if incarnation.cancelled_at is not None:
            return cancelled(incarnation)
        unread = check_all_read(incarnation)
        if unread is not None:
            return Parked(self._services.serializer.encode_exception(unread))
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
        if is_own_cancel(incarnation, error) and not incarnation.is_sealed:
            return cancelled(incarnation)
        if incarnation.is_sealed:
            if isinstance(error, Exception):
                self._warn_ignored(incarnation, f"raised {type(error).__name__}")
            return Lost()
        flow_type = self._services.types[incarnation.flow.type]
        return again(incarnation, flow_type, failed(incarnation, error))

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
        if isinstance(incarnation.ending, LEFT_BY_ITSELF):
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
        if task is None or isinstance(incarnation.ending, LEFT_BY_ITSELF):
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
        self._hold(asyncio.create_task(self._finish_and_go_on(incarnation)))

    def _hold(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _finish_and_go_on(self, incarnation: Incarnation) -> None:
        again = await self.finish(incarnation)
        if again is not None and not self._is_over:
            # Context variables that the flow has set last one incarnation.
            self._context.copy().run(partial(self.run, again, again=True))
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
                text = self._services.serializer.encode_exception(error)
                ending = Parked(text, mendable=False)
                continue
            if answer is None or answer.answer is Answer.REFUSED:
                return None
            if answer.answer is Answer.ACCEPTED:
                self._ended(incarnation, ending)
                self._tell(incarnation, ending, answer)
                return await self._go_on(incarnation) if isinstance(ending, Continued) else None
            moved = await self._read_again(incarnation, incarnation.number)
            if moved is None:
                return None
            if isinstance(ending, (Suspended, Continued)):
                return moved
            incarnation.parents = moved.parents
            if isinstance(ending, Retried):
                ending = ending.failed  # a cancel was asked: it does not run again
            elif isinstance(ending, Succeeded) and answer.cancel:
                ending = Cancelled()
        return None

    async def _go_on(self, incarnation: Incarnation) -> Claimed | None:
        """Read a flow that continues as new, to begin it at once."""
        if self._services.replies.asked():
            self._services.look_for_work()  # who asked and was left without an answer hears of it
        return await self._read_again(incarnation, incarnation.number + 1)

    async def _submit(self, incarnation: Incarnation, ending: Ending) -> Changed | None:
        code = self._services.types[incarnation.flow.type].code
        change = change_of(incarnation, ending, code)
        parts = (*incarnation.take_unflushed(), change)
        # A child that was started beside the cancel was not asked with the others.
        refs = live_children(incarnation.effects) if isinstance(ending, Cancelled) else ()
        storing = self._services.committer.submit(*parts, *map(cancel_of, refs), inside=True)
        answers = await storing
        if answers is None:
            return None
        for appended in answers[len(parts) :]:
            if isinstance(appended, Appended):
                self._services.deliver(appended, cancel_message())
        answer = answers[len(parts) - 1]
        return answer if isinstance(answer, Changed) else None

    async def _read_again(self, incarnation: Incarnation, number: int) -> Claimed | None:
        """Read the flow as it is now; None if it is not ours."""
        services = self._services
        backoff = services.backoff()
        while not self._is_over:
            try:
                found = await services.store.load(services.replica.id, [incarnation.flow.number])
            except StoreError as error:
                services.replica.report_unavailable(error)
                await backoff.pause()
                continue
            ours = [one for one in found if one.incarnation == number]
            return ours[0] if ours else None
        return None

    def _ended(self, incarnation: Incarnation, ending: Ending) -> None:
        if not isinstance(ending, (Suspended, Released)):
            self._services.own_runs.ends(incarnation)
        if isinstance(ending, (Succeeded, Failed, Cancelled, Continued)):
            warn_of_unanswered(incarnation)
        match ending:
            case Suspended(due_at=due_at):
                if due_at is not None:
                    self.on_due(due_at)
            case Retried(due_at=due_at, failed=failure):
                self.on_due(due_at)
                text = f"with {type(failure.live).__name__}; it runs again as declared"
                incarnation.emit("flow.retried", text, logging.WARNING)
            case Released() | Lost() | Continued():
                pass
            case Succeeded() | Failed() | Cancelled() | Parked():
                live = ending.live if isinstance(ending, Failed) else None
                if isinstance(ending, Failed):
                    incarnation.emit("flow.failed", f"with {type(live).__name__}", logging.WARNING)
                if isinstance(ending, Parked):
                    error = self._services.serializer.error_info(ending.error)
                    incarnation.emit("flow.parked", f"because of {error.type}", logging.ERROR)
                self._completions.resolve(outcome_of(incarnation, ending), live)

    def _tell(self, incarnation: Incarnation, ending: Ending, answer: Changed) -> None:
        """Hand messages of the end to flows that run here; the store has told the others."""
        deliver = self._services.deliver
        if isinstance(ending, (Succeeded, Failed, Cancelled)):
            message = message_of(outcome_of(incarnation, ending))
            for parent, told in zip(incarnation.parents, answer.told, strict=False):
                deliver(told, NewMessage(parent.key, message.type, message.body))
        for appended, granted in answer.granted:
            deliver(appended, granted)

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

    def leave(self) -> None:
        """The app is over: give up everything, and begin nothing that an answer still asks for."""
        self._is_over = True
        self.give_up_all()

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


def _ignore(_: int) -> None: ...


def _nothing() -> None: ...
