"""`messages(A, B)`: the messages of a flow as a stream, with operators, ends, and `async for`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar, cast, overload

import msgspec

from unbroken.engine import operators as stages
from unbroken.engine.iteration import Iteration
from unbroken.engine.operators import NOTHING, Operator
from unbroken.engine.pulling import End, Stream
from unbroken.engine.scope import Scope, scope_for_wait
from unbroken.engine.streams import answer_of
from unbroken.engine.waits import Limit
from unbroken.flows.waits import Wanted, aware_instant, is_duration, stay_of
from unbroken.model.clock import MICROSECOND
from unbroken.model.errors import UsageError

T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T_co = TypeVar("T_co", covariant=True)

Types = tuple[type[Any], ...]


class Plan(msgspec.Struct, frozen=True):
    """What a description of a stream says so far."""

    types: Types
    operators: tuple[Operator, ...] = ()
    limits: tuple[Limit, ...] = ()

    @property
    def name(self) -> str:
        """The name of its effects."""
        return sys.intern("messages:" + "|".join(one.__name__ for one in self.types))

    @property
    def can_end(self) -> bool:
        """Whether anything can end it."""
        return bool(self.limits) or any(one.ends for one in self.operators)

    def stream(self, scope: Scope, stay: float | None) -> Stream:
        """Make it ready to pull: what stands first and selects decides what is pulled at all."""
        scope.incarnation.services.serializer.know(*self.types)
        count = 0
        while count < len(self.operators) and self.operators[count].selects:
            count += 1
        leading = [operator.begin() for operator in self.operators[:count]]
        where = partial(_pass_all, leading) if leading else None
        wanted = Wanted(scope.incarnation, self.types, where)
        return Stream(wanted, self.operators[count:], self.limits, stay)


def _pass_all(leading: list[stages.Stage], value: object) -> bool:
    return all(stage.feed(value) is not NOTHING for stage in leading)


class Messages(Generic[T_co]):
    """A description of a stream of messages; immutable, and nothing is pulled before an end.

    The types, and the `of_types` and `where` that stand before all other operators, select: what
    they do not select stays for other waits. An end consumes every message that it pulled, in
    order, when it has its answer: also those that later operators dropped. What lies behind the
    message that gave the answer is not pulled. The answer is one effect: a replay pulls nothing.
    Operators are plain functions of their arguments; they run again after a crash. An error in one
    is the answer, the same on every replay, and consumes nothing.
    """

    __slots__ = ("_plan",)

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    # operators

    @overload
    def of_types(self, t1: type[T1], /) -> Messages[T1]: ...
    @overload
    def of_types(self, t1: type[T1], t2: type[T2], /) -> Messages[T1 | T2]: ...
    @overload
    def of_types(self, t1: type[T1], t2: type[T2], t3: type[T3], /) -> Messages[T1 | T2 | T3]: ...
    def of_types(self, *types: Any) -> Messages[Any]:
        """Go on with objects of these classes only, subclasses included."""
        _check_types("of_types(…)", types)
        return self._with(Operator(partial(stages.OfTypes, types), selects=True))

    def where(self, predicate: Callable[[T_co], bool], /) -> Messages[T_co]:
        """Go on with what the predicate takes."""
        _check_function("where(…)", predicate)
        return self._with(Operator(partial(stages.Where, predicate), selects=True))

    def map(self, function: Callable[[T_co], T], /) -> Messages[T]:
        """Go on with what the function makes of each."""
        _check_function("map(…)", function)
        return self._with(Operator(partial(stages.Map, function)))

    def scan(self, initial: T, function: Callable[[T, T_co], T], /) -> Messages[T]:
        """Go on with the total after each: `function(total so far, value)`."""
        _check_function("scan(…)", function)
        return self._with(Operator(partial(stages.Scan, initial, function)))

    def take(self, count: int, /) -> Messages[T_co]:
        """End the stream with the nth. Raises UsageError if it is less than one."""
        _check_count("take(…)", count, 1)
        return self._with(Operator(partial(stages.Take, count), ends=True))

    def skip(self, count: int, /) -> Messages[T_co]:
        """Leave the first n out; they are consumed. Raises UsageError if it is negative."""
        _check_count("skip(…)", count, 0)
        return self._with(Operator(partial(stages.Skip, count)))

    def take_until(self, predicate: Callable[[T_co], bool], /) -> Messages[T_co]:
        """End the stream at the first that the predicate takes; it is consumed and left out."""
        _check_function("take_until(…)", predicate)
        return self._with(Operator(partial(stages.TakeUntil, predicate), ends=True))

    def until(self, limit: timedelta | datetime, /) -> Messages[T_co]:
        """End the stream at a moment, or after a duration from when its end waits first.

        It counts for the whole stream, wherever it stands; of several the earliest. A message sent
        up to then still comes. The moment must be aware of its time zone.
        """
        plan = msgspec.structs.replace(self._plan, limits=(*self._plan.limits, _limit(limit)))
        return Messages(plan)

    def distinct_by(self, key: Callable[[T_co], Hashable], /) -> Messages[T_co]:
        """Go on with the first of each key."""
        _check_function("distinct_by(…)", key)
        return self._with(Operator(partial(stages.DistinctBy, key)))

    def chunk(self, size: int, /) -> Messages[list[T_co]]:
        """Go on with lists of n; the last one may be shorter. UsageError if n is no count."""
        _check_count("chunk(…)", size, 1)
        return self._with(Operator(partial(stages.Chunk, size)))

    def _with(self, operator: Operator) -> Messages[Any]:
        plan = self._plan
        return Messages(msgspec.structs.replace(plan, operators=(*plan.operators, operator)))

    # ends

    def first(self, *, suspend_after: timedelta | None = None) -> Coroutine[object, object, T_co]:
        """Wait for the first. Raises StreamEnded if the stream ends without one.

        `suspend_after` is how long the flow stays in memory while it waits.
        """
        return self._end("first", End.FIRST, suspend_after)

    def first_or_none(
        self, *, suspend_after: timedelta | None = None
    ) -> Coroutine[object, object, T_co | None]:
        """Wait for the first; None if the stream ends without one."""
        return self._end("first_or_none", End.FIRST_OR_NONE, suspend_after)

    def last(self, *, suspend_after: timedelta | None = None) -> Coroutine[object, object, T_co]:
        """Wait until the stream ends and give the last. Raises StreamEnded if there is none.

        Raises UsageError at once if nothing can end the stream.
        """
        self._check_can_end("last")
        return self._end("last", End.LAST, suspend_after)

    def completion(
        self, *, suspend_after: timedelta | None = None
    ) -> Coroutine[object, object, list[T_co]]:
        """Wait until the stream ends and give all. Raises UsageError if nothing can end it."""
        self._check_can_end("completion")
        return self._end("completion", End.COMPLETION, suspend_after)

    def __aiter__(self) -> AsyncIterator[T_co]:
        """Go through the stream, one effect for each value: it consumes what was pulled for it.

        What was pulled is recorded whole, so leave out what is not needed with a leading `where`.
        A turn that is cut, by a time-out or a race, ends the loop: begin a new one.
        """
        return MessageIterator(self._plan)

    def _end(
        self, what: str, end: End, suspend_after: timedelta | None
    ) -> Coroutine[object, object, Any]:
        stay = stay_of(suspend_after)
        scope = scope_for_wait(f"messages(…).{what}()")
        key = scope.take(self._plan.name, explicit=False)
        scope.incarnation.promise(key)
        return answer_of(scope, key, self._plan.stream(scope, stay), end)

    def _check_can_end(self, what: str) -> None:
        if not self._plan.can_end:
            raise UsageError(
                f"messages(…).{what}() would wait for ever: say what ends the stream with "
                "take(n), take_until(predicate) or until(limit)"
            )


class MessageIterator(AsyncIterator[T_co]):
    """One way through a stream; each turn takes its key when it begins."""

    __slots__ = ("_iteration", "_plan")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._iteration: Iteration | None = None

    def __anext__(self) -> Coroutine[Any, Any, T_co]:
        """Give the next value."""
        if self._iteration is not None and self._iteration.is_over:
            return _stop()
        scope = scope_for_wait("async for … in messages(…)")
        if self._iteration is None:
            self._iteration = Iteration(self._plan.stream(scope, None))
        iteration, name = self._iteration, self._plan.name
        key = iteration.begin(lambda: scope.take(name, explicit=False))
        scope.incarnation.promise(key)
        return _next(iteration, scope, key)


async def _stop() -> NoReturn:
    raise StopAsyncIteration


async def _next(iteration: Iteration, scope: Scope, key: str) -> Any:
    value = await iteration.take(scope, key)
    if value is NOTHING:
        raise StopAsyncIteration
    return value


@overload
def messages(t1: type[T1], /) -> Messages[T1]: ...
@overload
def messages(t1: type[T1], t2: type[T2], /) -> Messages[T1 | T2]: ...
@overload
def messages(t1: type[T1], t2: type[T2], t3: type[T3], /) -> Messages[T1 | T2 | T3]: ...
def messages(*types: Any) -> Messages[Any]:
    """Describe the stream of the flow's messages of some types, subclasses included.

    Add operators, then await an end, or go through it with `async for`.
    """
    _check_types("messages(…)", types)
    return Messages(Plan(types))


def _check_types(what: str, types: tuple[object, ...]) -> None:
    if not types or not all(isinstance(one, type) for one in types):
        call = what.removesuffix("(…)")
        raise TypeError(f"{what} takes classes, not {types!r}; for A | B write {call}(A, B)")


def _check_function(what: str, function: object) -> None:
    if not callable(function):
        raise TypeError(f"{what} takes a function, not {function!r}")
    if inspect.iscoroutinefunction(function):
        raise UsageError(
            f"{what} takes a plain function, not the async {function!r}: operators run again on "
            "every replay. Await in the flow: async for … in messages(…)"
        )


def _check_count(what: str, count: object, least: int) -> None:
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"{what} takes a number of messages, not {count!r}")
    if count < least:
        raise UsageError(f"{what} takes a number from {least} on, not {count}")


def _limit(limit: object) -> Limit:
    if isinstance(limit, datetime):
        return Limit(aware_instant(limit, "until(…)"))
    if not is_duration(limit):
        raise TypeError(f"until(…) takes a timedelta or a datetime, not {limit!r}")
    return Limit(cast("timedelta", limit) // MICROSECOND, is_relative=True)
