"""Durable waits: for an instant, for a message, and for the cut that will come again.

A deadline is an absolute instant, recorded when the wait begins and judged again at each look,
never "the timer has fired" (R10). A message and its consumption are one record; so is a time-out.
Whichever is recorded has won.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec

from unbroken.engine.cancelling import heed_cancel
from unbroken.engine.inbox import Search
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.journal import TO_NOBODY_ELSE
from unbroken.engine.leaving import leave
from unbroken.engine.replica import Replica
from unbroken.engine.scope import SCOPE, Scope, is_counted_task
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


W = TypeVar("W", bound=Wish)


async def wait_once(
    scope: Scope,
    key: str,
    *,
    deadline: int | None = None,
    stay: float | None = None,
    names: frozenset[str] | None = frozenset(),
    heeds_cancel: bool = True,
) -> None:
    """Block this branch until it is woken, the deadline is reached, or the signal comes.

    Raises FlowCancelled, recorded at `key`, if a cancel was asked for and the wait heeds it.
    """
    incarnation = scope.incarnation
    if heeds_cancel and incarnation.cancel is not None:
        await heed_cancel(scope, key)
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

    Held in memory: what will cut it again, a timer or a sibling, lives only there. A cancel is not
    heeded: it belongs to what the flow does behind this place.
    """
    while True:
        await wait_once(scope, key, stay=FOREVER, heeds_cancel=False)


async def arrive(scope: Scope, key: str) -> None:
    """Come to a durable wait: raise the signal, stand where it was cut, or raise FlowCancelled."""
    incarnation = scope.incarnation
    incarnation.is_awaited(key)
    if not incarnation.is_open():
        await leave(incarnation)
    if incarnation.was_cut(key):
        await until_cut_again(scope, key)
    incarnation.check_cancelled(key)


async def sleep(scope: Scope, key: str, limit: Limit, stay: float | None) -> None:
    """Wait until a recorded deadline, taken from the store's time when the wait begins first."""
    incarnation = scope.incarnation
    await arrive(scope, key)
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
    wish: W,
    *,
    limit: Limit | None = None,
    stay: float | None = None,
    names: frozenset[str] | None = None,
    of_type: Callable[[W, str], bool] | None = None,
    kind: Kind = Kind.MESSAGE,
    heeds_cancel: bool = True,
) -> Any:
    """Consume the first wanted message and give what the wish makes of it.

    A message sent up to the deadline wins over it, however late it is looked at. `names` are the
    only types and keys that the wish may want; those of the engine are not seen without them.
    `of_type` says whether the wish may want a type, and leaves the others out of account.
    """
    incarnation = scope.incarnation
    await arrive(scope, key)
    effect = incarnation.recorded(key, kind)
    if effect is not None:
        if incarnation.held is not None:
            _hold(incarnation, effect)
        return wish.result(effect)
    deadline, has_mark = deadline_of(incarnation, key, limit)
    message: Message | None = None
    search: Search | None = None  # made when there is something to look at: who waits stays small
    while True:
        if not incarnation.inbox.is_empty:
            may_be = None if of_type is None else partial(of_type, wish)
            search = search or Search(wish, until=deadline, names=names, of_type=may_be)
            message = incarnation.inbox.take(search)
        if message is not None or is_over(incarnation, deadline):
            break
        if deadline is not None and not has_mark:
            has_mark = True
            mark_deadline(incarnation, key, deadline)
        await wait_once(
            scope, key, deadline=deadline, stay=stay, names=names, heeds_cancel=heeds_cancel
        )
    effect = _effect_of(key, kind, message, incarnation.number)
    consumes = () if message is None else (message.position,)
    clears = has_mark or kind is Kind.CHILD
    await incarnation.record(effect, consumes=consumes, clears=clears)
    return wish.result(effect)


def _hold(incarnation: Incarnation, effect: Effect) -> None:
    if effect.digest is not None and effect.kind not in TO_NOBODY_ELSE:
        incarnation.hold(SCOPE.get().prefix, effect.digest)


def deadline_of(
    incarnation: Incarnation, key: str, *limits: Limit | None
) -> tuple[int | None, bool]:
    """Give the deadline of a wait, the first of its limits, and whether it is recorded already."""
    mark = incarnation.effects.get(f"{key}.due")
    if mark is not None:
        return int(mark.body), True
    replica = incarnation.services.replica
    return min((one.from_now(replica) for one in limits if one is not None), default=None), False


def mark_deadline(incarnation: Incarnation, key: str, deadline: int) -> None:
    """Record the deadline of a wait that has to wait for the first time."""
    number = incarnation.number
    mark = Effect(f"{key}.due", Kind.DEADLINE, str(deadline), incarnation=number)
    incarnation.queue_and_go_on(mark)


def is_over(incarnation: Incarnation, deadline: int | None) -> bool:
    """Whether the store's time has reached a deadline."""
    return deadline is not None and incarnation.services.replica.now() >= deadline


def _effect_of(key: str, kind: Kind, message: Message | None, number: int) -> Effect:
    if message is None:
        return Effect(key, kind, "null", incarnation=number)
    return Effect(
        key, kind, message.body, message.type, digest=message.position, incarnation=number
    )
