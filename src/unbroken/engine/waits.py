"""Durable waits: for an instant, for a message, and for the cut that will come again.

A deadline is an absolute instant, recorded when the wait begins and judged again at each look,
never "the timer has fired" (R10). A message and its consumption are one record; so is a time-out.
Whichever is recorded has won.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec

from unbroken.engine.incarnation import Incarnation
from unbroken.engine.leaving import leave
from unbroken.engine.replica import Replica
from unbroken.engine.scope import Scope, is_counted_task
from unbroken.engine.wait import Wait
from unbroken.model.records import Effect, Kind, Message

FOREVER = float("inf")


class Limit(msgspec.Struct, frozen=True):
    """When a wait is over: an instant, or microseconds from when it begins first."""

    instant: int
    is_relative: bool = False

    def from_now(self, replica: Replica) -> int:
        """Give the deadline of a wait that begins now; a duration is never cut short."""
        if not self.is_relative:
            return self.instant
        return self.instant + (replica.latest() if self.instant > 0 else replica.now())


class Wish(Protocol):
    """Which message a wait wants, and what it makes of what was recorded."""

    def __call__(self, message: Message) -> bool:
        """Whether this message ends the wait."""
        ...

    def result(self, effect: Effect) -> object:
        """Read the recorded answer; an effect without type says that the deadline won."""
        ...


async def wait_once(
    scope: Scope,
    key: str,
    *,
    deadline: int | None = None,
    stay: float | None = None,
    names: frozenset[str] | None = frozenset(),
) -> None:
    """Block this branch until it is woken, the deadline is reached, or the signal comes."""
    incarnation = scope.incarnation
    counted = is_counted_task()
    if not counted:
        incarnation.adopt_foreign()
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    wait = Wait(future, deadline=deadline, stay=stay, names=names, counted=counted)
    incarnation.begin_wait(wait)
    if deadline is not None:
        incarnation.set_alarm(wait)
    try:
        await future
    except asyncio.CancelledError:
        incarnation.end_wait(wait)
        await incarnation.cut(key)
        raise
    finally:
        incarnation.end_wait(wait)


async def until_instant(scope: Scope, key: str, instant: int, stay: float | None) -> None:
    """Wait until the store's time has reached an instant; never returns early."""
    while scope.incarnation.services.replica.now() < instant:
        await wait_once(scope, key, deadline=instant, stay=stay)


async def until_cut_again(scope: Scope, key: str) -> None:
    """Stand where the user's own cancel cut this key before; it neither runs nor answers.

    Held in memory: what will cut it again, a timer or a sibling, lives only there.
    """
    while True:
        await wait_once(scope, key, stay=FOREVER)


async def sleep(scope: Scope, key: str, limit: Limit, stay: float | None) -> None:
    """Wait until a recorded deadline, taken from the store's time when the wait begins first."""
    incarnation = scope.incarnation
    incarnation.is_awaited(key)
    if not incarnation.is_open():
        await leave(incarnation)
    if incarnation.was_cut(key):
        await until_cut_again(scope, key)
    effect = incarnation.recorded(key, Kind.DEADLINE)
    if effect is None:
        deadline = limit.from_now(incarnation.services.replica)
        body = str(deadline)
        incarnation.queue_and_go_on(
            Effect(key, Kind.DEADLINE, body, incarnation=incarnation.number)
        )
    else:
        deadline = int(effect.body)
    await until_instant(scope, key, deadline, stay)


async def receive(
    scope: Scope,
    key: str,
    wish: Wish,
    *,
    limit: Limit | None = None,
    stay: float | None = None,
    names: frozenset[str] | None = None,
    kind: Kind = Kind.MESSAGE,
) -> Any:
    """Consume the first wanted message and give what the wish makes of it.

    A message sent up to the deadline wins over it, however late it is looked at.
    """
    incarnation = scope.incarnation
    incarnation.is_awaited(key)
    if not incarnation.is_open():
        await leave(incarnation)
    if incarnation.was_cut(key):
        await until_cut_again(scope, key)
    effect = incarnation.recorded(key, kind)
    if effect is not None:
        return wish.result(effect)
    deadline, has_mark = _deadline_of(incarnation, key, limit)
    while True:
        message = incarnation.inbox.take(wish, deadline)
        if message is not None or _is_over(incarnation, deadline):
            break
        if deadline is not None and not has_mark:
            has_mark = True
            _mark(incarnation, key, deadline)
        await wait_once(scope, key, deadline=deadline, stay=stay, names=names)
    effect = _effect_of(key, kind, message, incarnation.number)
    position = None if message is None else message.position
    clears = has_mark or kind is Kind.CHILD
    await incarnation.record(effect, consumes=position, clears=clears)
    return wish.result(effect)


def _deadline_of(
    incarnation: Incarnation, key: str, limit: Limit | None
) -> tuple[int | None, bool]:
    """Give the deadline of a wait, and whether it is recorded already."""
    mark = incarnation.effects.get(f"{key}.due")
    if mark is not None:
        return int(mark.body), True
    return None if limit is None else limit.from_now(incarnation.services.replica), False


def _mark(incarnation: Incarnation, key: str, deadline: int) -> None:
    number = incarnation.number
    mark = Effect(f"{key}.due", Kind.DEADLINE, str(deadline), incarnation=number)
    incarnation.queue_and_go_on(mark)


def _is_over(incarnation: Incarnation, deadline: int | None) -> bool:
    return deadline is not None and incarnation.services.replica.now() >= deadline


def _effect_of(key: str, kind: Kind, message: Message | None, number: int) -> Effect:
    if message is None:
        return Effect(key, kind, "null", incarnation=number)
    return Effect(key, kind, message.body, message.type, incarnation=number)
