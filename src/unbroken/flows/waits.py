"""`message`, `sleep`, `sleep_until`, `postpone`, `suspend`, `now`: waits that cost nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, NoReturn, TypeVar, overload

from unbroken.engine import waits
from unbroken.engine.cancelling import heed_cancel
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.operators import NOTHING
from unbroken.engine.scope import Scope, scope_for_wait
from unbroken.engine.waits import Limit
from unbroken.model import signals
from unbroken.model.clock import MICROSECOND, instant_of, moment_of
from unbroken.model.errors import DeserializationError, UsageError
from unbroken.model.records import Effect, Kind, Message
from unbroken.serialization.serializer import Payload

T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")


@overload
def message(
    t1: type[T1],
    /,
    *,
    where: Callable[[T1], bool] | None = None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, T1]: ...
@overload
def message(
    t1: type[T1],
    /,
    *,
    where: Callable[[T1], bool] | None = None,
    timeout: timedelta | None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, T1 | None]: ...
@overload
def message(
    t1: type[T1],
    /,
    *,
    where: Callable[[T1], bool] | None = None,
    until: datetime | None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, T1 | None]: ...
@overload
def message(
    t1: type[T1],
    t2: type[T2],
    /,
    *,
    where: Callable[[T1 | T2], bool] | None = None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, T1 | T2]: ...
@overload
def message(
    t1: type[T1],
    t2: type[T2],
    /,
    *,
    where: Callable[[T1 | T2], bool] | None = None,
    timeout: timedelta | None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, T1 | T2 | None]: ...
@overload
def message(
    t1: type[T1],
    t2: type[T2],
    /,
    *,
    where: Callable[[T1 | T2], bool] | None = None,
    until: datetime | None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, T1 | T2 | None]: ...
@overload
def message(
    t1: type[T1],
    t2: type[T2],
    t3: type[T3],
    /,
    *,
    where: Callable[[T1 | T2 | T3], bool] | None = None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, T1 | T2 | T3]: ...
@overload
def message(
    t1: type[T1],
    t2: type[T2],
    t3: type[T3],
    /,
    *,
    where: Callable[[T1 | T2 | T3], bool] | None = None,
    timeout: timedelta | None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, T1 | T2 | T3 | None]: ...
@overload
def message(
    t1: type[T1],
    t2: type[T2],
    t3: type[T3],
    /,
    *,
    where: Callable[[T1 | T2 | T3], bool] | None = None,
    until: datetime | None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, T1 | T2 | T3 | None]: ...
def message(
    *types: Any,
    where: Callable[[Any], bool] | None = None,
    timeout: timedelta | None = None,
    until: datetime | None = None,
    suspend_after: timedelta | None = None,
) -> Coroutine[object, object, Any]:
    """Wait for the first message of one of the types, and consume it.

    `where` selects among them; the others stay for other waits. `timeout` and `until` limit the
    wait: None is returned then. `suspend_after` is how long the flow stays in memory while it
    waits.
    """
    if not types or not all(isinstance(one, type) for one in types):
        raise TypeError(f"message(…) takes classes, not {types!r}; for A | B write message(A, B)")
    if timeout is not None and until is not None:
        raise TypeError("message(…): give `timeout` or `until`, not both")
    limit, stay = limit_of(timeout, until, "message(until=…)"), stay_of(suspend_after)
    scope = scope_for_wait("message(…)")
    scope.incarnation.services.serializer.know(*types)
    name = sys.intern("message:" + "|".join(one.__name__ for one in types))
    key = scope.take(name, explicit=False)
    scope.incarnation.promise(key)
    wanted = Wanted(scope.incarnation, types, where)
    return waits.receive(scope, key, wanted, limit=limit, stay=stay, of_type=Wanted.may_be)


class Wanted:
    """Which messages a wait takes: by class, subclasses included, and by the user's predicate."""

    __slots__ = ("_incarnation", "_types", "_where")

    def __init__(
        self,
        incarnation: Incarnation,
        types: tuple[type[Any], ...],
        where: Callable[[Any], bool] | None,
    ) -> None:
        self._incarnation = incarnation
        self._types = types
        self._where = where

    def __call__(self, message: Message) -> bool:
        """Whether the wait takes this message. Parks the flow if it should and cannot be read."""
        return self.pick(message) is not NOTHING

    def may_be(self, type: str) -> bool:
        """Whether messages of this type may be wanted, by their class alone."""
        serializer = self._incarnation.services.serializer
        cls = serializer.class_of(type)
        if cls is None:
            return type in map(serializer.type_name, self._types)
        return issubclass(cls, self._types)

    def pick(self, message: Message) -> object:
        """Give what a message holds if it is wanted, else NOTHING; parks like a call."""
        try:
            value = self._decode(message.type, message.body)
        except DeserializationError as error:
            serializer = self._incarnation.services.serializer
            if message.type in map(serializer.type_name, self._types):
                raise self._incarnation.park(error) from None
            return NOTHING
        is_wanted = isinstance(value, self._types) and (self._where is None or self._where(value))
        return value if is_wanted else NOTHING

    def result(self, effect: Effect) -> Any:
        """Give the flow its own object, None for a time-out. Parks if it cannot be read."""
        if effect.type is None:
            return None
        return self.read(effect.type, effect.body)

    def read(self, type: str, body: str) -> object:
        """Read a message that was taken. Parks the flow if it cannot be read."""
        try:
            return self._decode(type, body)
        except DeserializationError as error:
            raise self._incarnation.park(error) from None

    def _decode(self, type_name: str, body: str) -> object:
        return self._incarnation.services.serializer.decode(Payload(type_name, body))


def sleep(
    duration: timedelta, /, *, suspend_after: timedelta | None = None
) -> Coroutine[object, object, None]:
    """Wait for a duration, counted from when the sleep began first; a crash does not restart it."""
    if not is_duration(duration):
        raise TypeError(f"sleep(…) takes a timedelta: write sleep(timedelta(seconds={duration!r}))")
    return _sleep(Limit(duration // MICROSECOND, is_relative=True), suspend_after)


def sleep_until(
    moment: datetime, /, *, suspend_after: timedelta | None = None
) -> Coroutine[object, object, None]:
    """Wait until a moment; it must be aware of its time zone."""
    return _sleep(Limit(aware_instant(moment, "sleep_until(…)")), suspend_after)


def _sleep(limit: Limit, suspend_after: timedelta | None) -> Coroutine[object, object, None]:
    stay = stay_of(suspend_after)
    scope = scope_for_wait("sleep(…)")
    key = scope.take("sleep", explicit=False)
    scope.incarnation.promise(key)
    return waits.sleep(scope, key, limit, stay)


async def postpone(delay: timedelta, /) -> NoReturn:
    """Leave memory and start again at the first line after `delay`, or at the next message.

    Not recorded: what comes before it and is not captured is done again.
    """
    if not is_duration(delay):
        raise TypeError("postpone(…) takes a timedelta")
    scope = scope_for_wait("postpone(…)")
    now = scope.incarnation.services.replica.latest()
    await _leave(scope, "postpone", now + max(delay, timedelta(0)) // MICROSECOND)


async def suspend() -> NoReturn:
    """Leave memory and start again at the first line at the next message."""
    await _leave(scope_for_wait("suspend()"), "suspend", None)


async def _leave(scope: Scope, name: str, due_at: int | None) -> NoReturn:
    """Seal; the key only says where a cancel was raised."""
    incarnation = scope.incarnation
    key = scope.take(name, explicit=False)
    incarnation.check_open()
    incarnation.check_cancelled(key)
    await heed_cancel(scope, key)
    incarnation.leave_until(due_at)
    raise signals.Suspended


async def now() -> datetime:
    """Give the time, recorded: the same instant on every replay. In UTC."""
    scope = scope_for_wait("now()")
    incarnation = scope.incarnation
    key = scope.take("now", explicit=False)
    incarnation.check_open()
    effect = incarnation.recorded(key, Kind.NOW)
    if effect is None:
        instant = incarnation.services.replica.now()
        incarnation.keep(Effect(key, Kind.NOW, str(instant), incarnation=incarnation.number))
        return moment_of(instant)
    return moment_of(int(effect.body))


def is_duration(value: object) -> bool:
    """Say whether it is a timedelta; a number of seconds is a common slip."""
    return isinstance(value, timedelta)


def aware_instant(moment: datetime, what: str) -> int:
    """Turn a user's moment into an instant. Raises UsageError if it has no time zone."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise UsageError(
            f"{what}: {moment!r} has no time zone, so it names no instant: "
            "write datetime(…, tzinfo=UTC) or give it a ZoneInfo"
        )
    return instant_of(moment)


def limit_of(timeout: timedelta | None, until: datetime | None, what: str) -> Limit | None:
    """Give the limit of a wait; it has at most one of the two."""
    if timeout is not None:
        if not is_duration(timeout):
            raise TypeError("timeout must be a timedelta")
        return Limit(timeout // MICROSECOND, is_relative=True)
    return None if until is None else Limit(aware_instant(until, what))


def stay_of(suspend_after: timedelta | None) -> float | None:
    """Give for how many seconds a wait wants to be held in memory; None: as long as the default."""
    if suspend_after is not None and not is_duration(suspend_after):
        raise TypeError("suspend_after must be a timedelta")
    return None if suspend_after is None else max(0.0, suspend_after.total_seconds())
