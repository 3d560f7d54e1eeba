"""`for_each`: a sequence, item after item, with a storage and memory that do not grow.

Item *i* runs in a scope of its own, `key/i/`. When it is done, a cursor `key.i` takes the place of
the cursor before it and of all that the item had recorded. A cursor need not be written at once:
what an item recorded stays until it is, so that a crash repeats only items that recorded nothing,
and never more than a bounded number of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from itertools import islice
from typing import Any

import msgspec

from unbroken.engine.cancelling import heed_cancel
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.leaving import leave
from unbroken.engine.scope import SCOPE, Scope, is_counted_task
from unbroken.engine.waits import until_cut_again
from unbroken.model.errors import DeserializationError, ReplayMismatch
from unbroken.model.records import Effect, Kind
from unbroken.serialization.serializer import Payload
from unbroken.stores.batch import Also

# How many items may be done before a cursor is written for its own sake: a crash repeats so many
# whose effects were to go with the next write, and so many that had none.
MOST_UNWRITTEN = 256
MOST_WITHOUT_EFFECTS = 1000
NO_VALUE = Payload(None, "null")


class Course(msgspec.Struct, frozen=True):
    """What was asked for. `folds`: the body takes and gives an accumulator, of type `returns`."""

    items: Iterable[Any] | AsyncIterable[Any]
    body: Callable[..., Awaitable[Any]]
    folds: bool
    initial: Any = None
    name_item: Callable[[Any], object] | None = None
    returns: object = Any


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """How far a loop has come: items done, what the last of them is called, the accumulator."""

    done: int
    item: Payload | None = None
    value: Payload | None = None


async def for_each(scope: Scope, key: str, course: Course) -> Any:
    """Run the body for each item that is not done yet; give the accumulator, None if there is none.

    Raises what the body raises; after a restart of the flow it goes on at that item.
    """
    incarnation = scope.incarnation
    incarnation.is_awaited(key)
    if not incarnation.is_open():
        await leave(incarnation)
    if incarnation.was_cut(key):
        await until_cut_again(scope, key)
    incarnation.check_cancelled(key)
    if key in incarnation.effects:
        return _answer(incarnation, key, course)
    incarnation.read(key)
    incarnation.follow(key)
    try:
        loop = Loop(scope, key, course)
        return await (loop.run() if is_counted_task() else _run_foreign(scope, loop))
    finally:
        incarnation.unfollow(key)


def _answer(incarnation: Incarnation, key: str, course: Course) -> Any:
    effect = incarnation.recorded(key, Kind.PROGRESS)
    if effect is None or not course.folds:
        return None
    return _decoded(incarnation, Payload(effect.type, effect.body), course.returns)


def _decoded(incarnation: Incarnation, payload: Payload, annotation: object) -> Any:
    try:
        return incarnation.services.serializer.decode(payload, annotation)
    except DeserializationError as error:
        raise incarnation.park(error) from None


async def _run_foreign(scope: Scope, loop: Loop) -> Any:
    """Count a loop in a task of the user's as a branch: what its items do is in order there too."""
    incarnation = scope.incarnation
    incarnation.adopt_foreign()
    incarnation.enter_foreign(asyncio.current_task())
    try:
        return await loop.run()
    finally:
        incarnation.leave_foreign(asyncio.current_task())


class Loop:
    """One run over the items, from the cursor on."""

    def __init__(self, scope: Scope, key: str, course: Course) -> None:
        self._scope = scope
        self._incarnation = scope.incarnation
        self._key = key
        self._course = course
        self._serializer = scope.incarnation.services.serializer
        # With each cursor all goes that lies beneath the loop's key, but the cursor itself.
        self._also = Also(drops=(f"{key}.", f"{key}/"))
        self._cursor = ""
        self._payload = NO_VALUE
        self._unwritten = 0
        self._has_effects = False
        self._task = asyncio.current_task()
        self._is_stored = scope.incarnation.has_beneath(key)

    async def run(self) -> Any:
        """Skip what is done, run the rest, record the answer."""
        done, value = await self._resume()
        items = Items(self._course.items)
        try:
            if done.done:
                await self._skip(items, done)
            index = done.done
            if not self._incarnation.has_beneath(f"{self._key}/{index}"):
                self._incarnation.look_up(self._key)  # what follows is new
            async for item in items:
                named = self._name(item)
                value = await self._run_body(index, item, value)
                index += 1
                value = await self._pass(index, named, value)
        finally:
            await items.close()
        return await self._end(value)

    async def _resume(self) -> tuple[Cursor, Any]:
        """Find the cursor, or begin."""
        incarnation, key = self._incarnation, self._key
        prefix = f"{key}."
        found = [
            effect
            for one, effect in (incarnation.effects.items() if self._is_stored else ())
            if effect.kind == Kind.PROGRESS and one.startswith(prefix)
        ]
        if not found:
            return Cursor(0), self._first_value()
        (effect,) = found
        if incarnation.was_cut(effect.key):
            await until_cut_again(self._scope, key)
        self._cursor = effect.key
        cursor = msgspec.json.decode(effect.body, type=Cursor)
        if (cursor.value is not None) is not self._course.folds:
            sides = ("a for_each with an accumulator", "one without")
            if cursor.value is not None:
                sides = ("a for_each without an accumulator", "one with it")
            raise incarnation.park(ReplayMismatch(key, *sides))
        if cursor.value is None:
            return cursor, None
        self._payload = cursor.value
        return cursor, _decoded(incarnation, cursor.value, self._course.returns)

    def _first_value(self) -> Any:
        """Give the accumulator as a replay will know it."""
        if not self._course.folds:
            return None
        course = self._course
        self._payload, value = self._serializer.round_trip(
            course.initial, course.returns, key=self._key
        )
        return value

    async def _skip(self, items: Items, cursor: Cursor) -> None:
        """Pass by the items that are done. Parks the flow if they are not what they were."""
        last = await items.skip(cursor.done)
        if last is None:
            asked, found = "a shorter sequence", f"{cursor.done} items of it done"
            raise self._incarnation.park(ReplayMismatch(self._key, asked, found))
        name_item = self._course.name_item
        if name_item is None or cursor.item is None:
            return
        before = _decoded(self._incarnation, cursor.item, Any)
        _, now = self._serializer.round_trip(name_item(last[0]))
        if now != before:
            at = f"as item {cursor.done - 1}: the sequence changed"
            sides = (f"{now!r} {at}", f"{before!r} there")
            raise self._incarnation.park(ReplayMismatch(self._key, *sides))

    async def _run_body(self, index: int, item: Any, value: Any) -> Any:
        """Run the body for one item, in a scope of its own."""
        incarnation = self._incarnation
        if not incarnation.is_open():
            await leave(incarnation)
        # Between two items, not before one that was begun: its own code may undo what it did.
        if incarnation.cancel is not None and not incarnation.has_beneath(f"{self._key}/{index}"):
            await heed_cancel(self._scope, self._key)
        scope = Scope(incarnation, f"{self._key}/{index}/", self._task)
        token = SCOPE.set(scope)
        body = self._course.body
        try:
            running = body(value, item) if self._course.folds else body(item)
            if not hasattr(running, "__await__"):
                raise TypeError(  # noqa: TRY301
                    f"the body of for_each(…) gave a {type(running).__name__}, which cannot be "
                    "awaited: write it as `async def`"
                )
            return await running
        except Exception as error:
            error.add_note(f"in item {index} of {self._key!r}")
            raise
        finally:
            SCOPE.reset(token)

    def _name(self, item: Any) -> Payload | None:
        name_item = self._course.name_item
        if name_item is None:
            return None
        return self._serializer.round_trip(name_item(item), key=self._key)[0]

    async def _pass(self, done: int, named: Payload | None, value: Any) -> Any:
        """Set the cursor behind an item that is done; give the accumulator as it was kept."""
        incarnation, course = self._incarnation, self._course
        incarnation.check_sealed()
        if incarnation.cancelled_at is not None:
            self._check_swallowed(incarnation.cancelled_at)
        payload: Payload | None = None
        if course.folds:
            payload, value = self._serializer.round_trip(value, course.returns, key=self._key)
            self._payload = payload
        body = msgspec.json.encode(Cursor(done, named, payload)).decode()
        self._count()
        self._cursor = f"{self._key}.{done}"
        effect = Effect(self._cursor, Kind.PROGRESS, body, incarnation=incarnation.number)
        most = MOST_UNWRITTEN if self._has_effects else MOST_WITHOUT_EFFECTS
        if self._unwritten < most:
            incarnation.keep(effect, also=self._also)
        else:
            await incarnation.record(effect, also=self._also)
            self._unwritten, self._is_stored, self._has_effects = 0, True, False
        return value

    def _check_swallowed(self, cancelled_at: str) -> None:
        """Raise the flow's cancel again if the body kept it to itself: its mark is to stay."""
        if cancelled_at.startswith(f"{self._key}/"):
            raise self._incarnation.cancel_error()

    def _count(self) -> None:
        """Drop what the item left, and count the items since something was written."""
        incarnation = self._incarnation
        if self._cursor and incarnation.is_kept(self._cursor):
            self._unwritten += 1
        else:
            self._is_stored = self._is_stored or bool(self._cursor)
            self._unwritten = 1
            self._has_effects = False
        dropped = incarnation.drop(self._key)
        incarnation.release_held((f"{self._key}/",))
        dropped.pop(self._cursor, None)
        self._has_effects = self._has_effects or bool(dropped)

    async def _end(self, value: Any) -> Any:
        """Record the answer in place of all beneath; with the next write if nothing is stored."""
        incarnation = self._incarnation
        incarnation.check_sealed()
        if self._cursor and not incarnation.is_kept(self._cursor):
            self._is_stored = True
        incarnation.drop(self._key)
        effect = Effect(
            self._key,
            Kind.PROGRESS,
            self._payload.body,
            self._payload.type,
            incarnation=incarnation.number,
        )
        if self._is_stored:
            await incarnation.record(effect, clears=True)
        else:
            incarnation.keep(effect, clears=True)
        return value


class Items:
    """The items of a sequence, one after the other."""

    def __init__(self, items: Iterable[Any] | AsyncIterable[Any]) -> None:
        self._later = aiter(items) if isinstance(items, AsyncIterable) else None
        self._now = iter(()) if isinstance(items, AsyncIterable) else iter(items)

    async def skip(self, count: int) -> tuple[Any] | None:
        """Pass by so many items; give the last of them, None if there are fewer."""
        if self._later is None:
            deque(islice(self._now, count - 1), maxlen=0)
            return next(((item,) for item in self._now), None)
        async for item in self._later:
            count -= 1
            if not count:
                return (item,)
        return None

    def __aiter__(self) -> Items:
        return self

    async def __anext__(self) -> Any:
        if self._later is not None:
            return await anext(self._later)
        for item in self._now:
            return item
        raise StopAsyncIteration

    async def close(self) -> None:
        """Nobody pulls any more."""
        close = getattr(self._later, "aclose", None)
        if close is not None:
            await close()
