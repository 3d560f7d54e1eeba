"""Questions as a running flow sees them: `question`, and the durable answer to one."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar, overload

from unbroken.engine import questions
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.questions import asked_in
from unbroken.engine.scope import Scope, scope_for_wait
from unbroken.engine.waits import Limit
from unbroken.flows.values import to_payload
from unbroken.flows.waits import Wanted, limit_of, stay_of
from unbroken.model.errors import QuestionRefused, UsageError
from unbroken.model.records import Effect, Message, Reply
from unbroken.serialization.serializer import Serializer

T_co = TypeVar("T_co", covariant=True)
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")

LONGEST_REASON = 1000


class Question(Generic[T_co]):
    """A question that a flow was asked; it is answered or refused once."""

    __slots__ = ("_effect", "_effect_key", "_has_reply", "_incarnation", "_value")

    def __init__(self, incarnation: Incarnation, key: str, effect: Effect, value: T_co) -> None:
        self._incarnation = incarnation
        self._effect_key = key
        self._effect = effect
        self._value = value
        self._has_reply = False

    @property
    def value(self) -> T_co:
        """What was asked."""
        return self._value

    @property
    def key(self) -> str:
        """The key under which it was asked, or the one made for it; unique in the flow."""
        return asked_in(self._effect).key[1:]

    def answer(self, answer: object, /) -> Coroutine[object, object, None]:
        """Store the answer with the question; whoever asked gets it, now or later.

        Once it is stored a replay does nothing here. Raises UsageError if there is a reply already,
        and the SerializationError family; nothing is written then. A cancel of the flow is raised
        after it, at the next thing that is awaited.
        """
        return self._reply(lambda: self._answer(answer))

    def refuse(self, reason: str, /) -> Coroutine[object, object, None]:
        """As `answer`, but whoever asked gets QuestionRefused with the reason."""
        if not _is_text(reason):
            raise TypeError(f"refuse(…) takes the reason as a text, not {reason!r}")
        return self._reply(lambda: self._refusal(reason))

    def _answer(self, answer: object) -> Reply:
        payload = to_payload(self._serializer, answer, f"{self._effect_key}.reply")
        return Reply(payload.body, payload.type)

    def _refusal(self, reason: str) -> Reply:
        self._serializer.encode(reason, str, key=f"{self._effect_key}.reply")
        return refusal(self._serializer, reason)

    @property
    def _serializer(self) -> Serializer:
        return self._incarnation.services.serializer

    def _reply(self, encode: Callable[[], Reply]) -> Coroutine[object, object, None]:
        scope = scope_for_wait("an answer")
        if scope.incarnation is not self._incarnation:
            raise UsageError(
                f"{self!r} belongs to another run of a flow: keep it in a local variable, a replay "
                "of its `question(…)` makes it anew"
            )
        self._check_open()
        key = f"{self._effect_key}.reply"
        scope.incarnation.promise(key)
        return self._store(scope, key, encode)

    async def _store(self, scope: Scope, key: str, encode: Callable[[], Reply]) -> None:
        scope.incarnation.is_awaited(key)
        self._check_open()
        reply = encode()
        self._has_reply = True
        await questions.reply(scope, key, self._effect, reply)

    def _check_open(self) -> None:
        if self._has_reply:
            raise UsageError(f"{self!r} has a reply already: answer or refuse a question once")

    def __repr__(self) -> str:
        return f"Question({self._effect_key!r})"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def refusal(serializer: Serializer, reason: str) -> Reply:
    """Make the reply that refuses a question."""
    return Reply(serializer.encode_exception(QuestionRefused(reason)), failed=True)


# within a flow


@overload
def question(
    t1: type[T1],
    /,
    *,
    where: Callable[[T1], bool] | None = None,
    validate: Callable[[T1], object] | None = None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, Question[T1]]: ...
@overload
def question(
    t1: type[T1],
    /,
    *,
    where: Callable[[T1], bool] | None = None,
    validate: Callable[[T1], object] | None = None,
    timeout: timedelta | None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, Question[T1] | None]: ...
@overload
def question(
    t1: type[T1],
    /,
    *,
    where: Callable[[T1], bool] | None = None,
    validate: Callable[[T1], object] | None = None,
    until: datetime | None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, Question[T1] | None]: ...
@overload
def question(
    t1: type[T1],
    t2: type[T2],
    /,
    *,
    where: Callable[[T1 | T2], bool] | None = None,
    validate: Callable[[T1 | T2], object] | None = None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, Question[T1 | T2]]: ...
@overload
def question(
    t1: type[T1],
    t2: type[T2],
    /,
    *,
    where: Callable[[T1 | T2], bool] | None = None,
    validate: Callable[[T1 | T2], object] | None = None,
    timeout: timedelta | None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, Question[T1 | T2] | None]: ...
@overload
def question(
    t1: type[T1],
    t2: type[T2],
    /,
    *,
    where: Callable[[T1 | T2], bool] | None = None,
    validate: Callable[[T1 | T2], object] | None = None,
    until: datetime | None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, Question[T1 | T2] | None]: ...
@overload
def question(
    t1: type[T1],
    t2: type[T2],
    t3: type[T3],
    /,
    *,
    where: Callable[[T1 | T2 | T3], bool] | None = None,
    validate: Callable[[T1 | T2 | T3], object] | None = None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, Question[T1 | T2 | T3]]: ...
@overload
def question(
    t1: type[T1],
    t2: type[T2],
    t3: type[T3],
    /,
    *,
    where: Callable[[T1 | T2 | T3], bool] | None = None,
    validate: Callable[[T1 | T2 | T3], object] | None = None,
    timeout: timedelta | None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, Question[T1 | T2 | T3] | None]: ...
@overload
def question(
    t1: type[T1],
    t2: type[T2],
    t3: type[T3],
    /,
    *,
    where: Callable[[T1 | T2 | T3], bool] | None = None,
    validate: Callable[[T1 | T2 | T3], object] | None = None,
    until: datetime | None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, Question[T1 | T2 | T3] | None]: ...
def question(
    *types: Any,
    where: Callable[[Any], bool] | None = None,
    validate: Callable[[Any], object] | None = None,
    timeout: timedelta | None = None,
    until: datetime | None = None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, Any]:
    """Wait for the first question of one of the types, and consume it; it wants an answer.

    It is a message: `message(…)` takes it too, and then nobody can answer it. `where` selects among
    them; the others stay. `validate` raises for a question that is to be refused at once, with the
    error's text as the reason; the wait goes on for the next. `timeout` and `until` limit the wait:
    None is returned then. `suspend_after` is how long the flow stays in memory while it waits.
    """
    if not types or not all(isinstance(one, type) for one in types):
        raise TypeError(f"question(…) takes classes, not {types!r}; for A | B write question(A, B)")
    if timeout is not None and until is not None:
        raise TypeError("question(…): give `timeout` or `until`, not both")
    if inspect.iscoroutinefunction(where) or inspect.iscoroutinefunction(validate):
        raise TypeError("question(…): `where` and `validate` are plain functions, not async ones")
    limit, stay = limit_of(timeout, until, "question(until=…)"), stay_of(suspend_after)
    scope = scope_for_wait("question(…)")
    scope.incarnation.services.serializer.know(*types)
    name = sys.intern(questions.NAME + "|".join(one.__name__ for one in types))
    key = scope.take(name, explicit=False)
    scope.incarnation.promise(key)
    wanted = _Passing(scope, types, where, validate)
    return _receive(scope, key, wanted, limit, stay)


async def _receive(
    scope: Scope, key: str, wanted: _Passing, limit: Limit | None, stay: float | None
) -> Question[Any] | None:
    effect = await questions.next_question(scope, key, wanted, limit=limit, stay=stay)
    if effect.type is None:
        return None
    value = wanted.read(effect.type, bytes(asked_in(effect).value).decode())
    return Question(scope.incarnation, key, effect, value)


class _Passing(Wanted):
    """Which questions a wait takes, and which of them pass."""

    __slots__ = ("_serializer", "_validate")

    def __init__(
        self,
        scope: Scope,
        types: tuple[type[Any], ...],
        where: Callable[[Any], bool] | None,
        validate: Callable[[Any], object] | None,
    ) -> None:
        super().__init__(scope.incarnation, types, where)
        self._serializer = scope.incarnation.services.serializer
        self._validate = validate

    def refusal(self, message: Message) -> Reply | None:
        """Give the refusal of a question that does not pass."""
        if self._validate is None:
            return None
        value = self.read(message.type, message.body)
        try:
            self._validate(value)
        except Exception as error:  # noqa: BLE001  it is the answer
            text = (str(error) or type(error).__name__).encode(errors="replace").decode()
            return refusal(self._serializer, text[:LONGEST_REASON])
        return None
