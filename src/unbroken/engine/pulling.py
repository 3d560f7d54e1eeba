"""What a stream pulls out of the inbox, in order, and how that is recorded or given back.

Until it is recorded, nothing is consumed: the messages are held in memory, where other waits do not
see them, and go back if the wait is cut or fails. The record, and the consumption of all that was
pulled for it, are one transaction. An error in an operator is recorded too, and consumes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import ParamSpec, Protocol, TypeVar

import msgspec

from unbroken.engine.consumed import positions_of
from unbroken.engine.inbox import Search
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.operators import NOTHING, Operator, Pipeline
from unbroken.engine.scope import SCOPE, Scope
from unbroken.engine.waits import Limit, deadline_of, is_over, mark_deadline, wait_once
from unbroken.model.errors import ReplayMismatch, UsageError
from unbroken.model.records import Effect, Kind, Message

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=msgspec.Struct)


class Source(Protocol):
    """Which messages a stream selects, and how they are read."""

    def may_be(self, type: str) -> bool:
        """Whether messages of this type may be selected."""
        ...

    def pick(self, message: Message) -> object:
        """Give what the message holds, or NOTHING if it is not selected; parks like `read`."""
        ...

    def read(self, type: str, body: str) -> object:
        """Read a message that was selected. Parks the flow if it cannot be read."""
        ...


class Stream(msgspec.Struct, frozen=True):
    """What is to be pulled, what becomes of it, and until when."""

    source: Source
    operators: tuple[Operator, ...]
    limits: tuple[Limit, ...]
    stay: float | None = None


class OperatorFailed(Exception):
    """An operator or predicate raised: the error that is recorded as the answer."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class OperatorScope(Scope):
    """Where operators run: they run again on every replay, and may not ask for anything."""

    __slots__ = ()

    def take(self, name: str, *, explicit: bool) -> str:  # noqa: ARG002 - the scope's own shape
        """Refuse every key."""
        raise UsageError(
            f"{name!r} was used inside an operator of {self.body_of!r}: operators are plain "
            "functions that run again on every replay. Use it in the flow, on what the stream gives"
        )

    def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run operators here; raises OperatorFailed with what they raise."""
        token = SCOPE.set(self)
        try:
            return call(*args, **kwargs)
        except Exception as error:
            raise OperatorFailed(error) from error
        finally:
            SCOPE.reset(token)


def inside(scope: Scope, key: str) -> OperatorScope:
    """Give the scope of the operators of an end or turn."""
    return OperatorScope(scope.incarnation, f"{key}/", scope.task, body_of=key)


class End(Enum):
    """What a stream is asked for."""

    FIRST = auto()
    FIRST_OR_NONE = auto()
    LAST = auto()
    COMPLETION = auto()


class Pull:
    """What one end or turn pulls out of the inbox; its own until it is recorded or given back.

    `found` is what reached the end, as far as the end needs it. Small, because it may wait long.
    """

    __slots__ = (
        "_has_mark",
        "_key",
        "_operators",
        "_picked",
        "_pipeline",
        "_scope",
        "_search",
        "_stream",
        "deadline",
        "found",
        "taken",
    )

    def __init__(
        self, scope: Scope, key: str, stream: Stream, pipeline: Pipeline, due: int | None = None
    ) -> None:
        self._scope = scope
        self._key = key
        self._stream = stream
        self._pipeline = pipeline
        self._picked: object = NOTHING
        self._operators: OperatorScope | None = None
        self._search: Search | None = None
        self._has_mark = False
        self.found: list[object] = []
        self.taken: list[Message] = []
        self.deadline = due
        if due is None:
            incarnation = scope.incarnation
            self.deadline, self._has_mark = deadline_of(incarnation, key, *stream.limits)

    @property
    def operators(self) -> OperatorScope:
        """Where the operators run."""
        self._operators = self._operators or inside(self._scope, self._key)
        return self._operators

    async def until(self, end: End, *, marks: bool) -> bool:
        """Pull until the end has what it needs; True if time ended the stream.

        `marks`: the deadline is to be recorded if it has to wait.
        """
        incarnation = self._scope.incarnation
        while not self._has_enough(end):
            if is_over(incarnation, self.deadline):
                self._keep(self.operators.run(self._pipeline.finish), end)
                return True
            if marks and self.deadline is not None and not self._has_mark:
                self._has_mark = True
                mark_deadline(incarnation, self._key, self.deadline)
            stay = self._stream.stay
            await wait_once(self._scope, self._key, deadline=self.deadline, stay=stay, names=None)
        return False

    def _has_enough(self, end: End) -> bool:
        """Pull what is there; whether the end needs no more."""
        inbox, pipeline = self._scope.incarnation.inbox, self._pipeline
        if inbox.is_empty:
            return pipeline.is_complete
        if self._search is None:
            source = self._stream.source
            self._search = Search(self._pick, until=self.deadline, of_type=source.may_be)
        run = self.operators.run
        while not pipeline.is_complete:
            message = run(inbox.take, self._search)
            if message is None:
                return False
            self.taken.append(message)
            if self._keep(run(pipeline.feed, self._picked), end):
                return True
        return True

    def _pick(self, message: Message) -> bool:
        self._picked = self._stream.source.pick(message)
        return self._picked is not NOTHING

    def _keep(self, value: object, end: End) -> bool:
        """Keep what the end needs; whether it needs no more."""
        if value is NOTHING:
            return False
        if end is End.LAST:
            self.found.clear()
        self.found.append(value)
        return end in {End.FIRST, End.FIRST_OR_NONE}

    def give_back(self) -> None:
        """Let others have what was pulled."""
        incarnation = self._scope.incarnation
        if self.taken and not incarnation.is_sealed:
            incarnation.inbox.give_back(self.taken)
            incarnation.wake_for(frozenset(message.type for message in self.taken))
        self.taken = []

    async def record(self, body: msgspec.Struct, type: str | None = None) -> None:
        """Record an answer or turn, and consume what was pulled for it."""
        text = msgspec.json.encode(body).decode()
        incarnation = self._scope.incarnation
        effect = Effect(self._key, Kind.STREAM, text, type, incarnation=incarnation.number)
        consumes = tuple(message.position for message in self.taken)
        await incarnation.record(effect, consumes=consumes, clears=self._has_mark)

    async def fail(self, error: Exception) -> Exception:
        """Record an error as the answer, and give it as every replay will; nothing is consumed."""
        self.give_back()
        incarnation = self._scope.incarnation
        serializer = incarnation.services.serializer
        text = serializer.encode_exception(error)
        effect = Effect(self._key, Kind.STREAM, text, failed=True, incarnation=incarnation.number)
        await incarnation.record(effect, clears=self._has_mark)
        return incarnation.blame(self._key, serializer.rebuild_exception(text))


def read_as(incarnation: Incarnation, effect: Effect, cls: type[S], expected: str) -> S:
    """Read a recorded body; another one than the code asks for parks the flow."""
    try:
        return msgspec.json.decode(effect.body, type=cls)
    except msgspec.ValidationError:
        found = "something else of a stream"
        raise incarnation.park(ReplayMismatch(effect.key, expected, found)) from None


def hold(incarnation: Incarnation, effect: Effect) -> None:
    """Say which messages were taken, while branches compete: a loser gives them back."""
    if incarnation.held is not None:
        prefix = SCOPE.get().prefix
        for position in positions_of(effect):
            incarnation.hold(prefix, position)
