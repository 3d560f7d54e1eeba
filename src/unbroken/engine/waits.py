"""Durable waits: for an instant, for a message, and for the cut that will come again.

A deadline is an absolute instant, recorded when the wait begins and judged again at each look,
never "the timer has fired" (R10). A message and its consumption are one record; so is a time-out.
Whichever is recorded has won.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from unbroken.engine.incarnation import Incarnation, Wait
from unbroken.engine.scope import Scope
from unbroken.model.records import Effect, Kind, Message

FOREVER = float("inf")


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
    counted = asyncio.current_task() is scope.task
    if not counted:
        incarnation.adopt_foreign(scope)
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    wait = Wait(future, deadline=deadline, stay=stay, names=names, counted=counted)
    if deadline is not None:
        _set_alarm(incarnation, wait, deadline)
    incarnation.begin_wait(wait)
    try:
        await future
    except asyncio.CancelledError:
        incarnation.end_wait(wait)
        await incarnation.cut(key)
        raise
    finally:
        incarnation.end_wait(wait)


def _set_alarm(incarnation: Incarnation, wait: Wait, deadline: int) -> None:
    services = incarnation.services
    seconds = (deadline - services.replica.now()) / 1_000_000
    when = services.clock.monotonic() + max(0.0, seconds)
    wait.alarm = services.clock.call_at(when, lambda: incarnation.wake(wait))


async def until_instant(scope: Scope, key: str, instant: int, stay: float | None) -> None:
    """Wait until the store's time has reached an instant; never returns early."""
    while scope.incarnation.services.replica.now() < instant:
        await wait_once(scope, key, deadline=instant, stay=stay)


async def until_cut_again(scope: Scope, key: str) -> None:
    """Stand where the user's own cancel cut this key before; it neither runs nor answers."""
    while True:
        await wait_once(scope, key)


async def sleep(
    scope: Scope, key: str, deadline_from: Callable[[int], int], stay: float | None
) -> None:
    """Wait until a recorded deadline, taken from the store's time when the wait begins first."""
    incarnation = scope.incarnation
    incarnation.taken.pop(key, None)
    incarnation.check_open()
    if incarnation.was_cut(key):
        await until_cut_again(scope, key)
    effect = incarnation.recorded(key, Kind.DEADLINE)
    if effect is None:
        deadline = deadline_from(incarnation.services.replica.now())
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
    wanted: Callable[[Message], bool],
    *,
    deadline_from: Callable[[int], int] | None = None,
    stay: float | None = None,
    names: frozenset[str] | None = None,
    kind: Kind = Kind.MESSAGE,
) -> Effect:
    """Consume the first wanted message; an effect without type says that the deadline won.

    A message sent up to the deadline wins over it, however late it is looked at.
    """
    incarnation = scope.incarnation
    incarnation.check_open()
    if incarnation.was_cut(key):
        await until_cut_again(scope, key)
    effect = incarnation.recorded(key, kind)
    if effect is not None:
        return effect
    marked = f"{key}.due"
    deadline, has_marks = _recorded_deadline(incarnation, marked), marked in incarnation.effects
    now = incarnation.services.replica.now()
    if deadline is None and deadline_from is not None:
        deadline = deadline_from(now)
    while True:
        message = incarnation.inbox.take(lambda m: _in_time(m, deadline) and wanted(m))
        if message is None and not _is_over(deadline, now):
            if deadline is not None and not has_marks:
                has_marks = True
                mark = Effect(marked, Kind.DEADLINE, str(deadline), incarnation=incarnation.number)
                incarnation.queue_and_go_on(mark)
            await wait_once(scope, key, deadline=deadline, stay=stay, names=names)
            now = incarnation.services.replica.now()
            continue
        effect = _effect_of(key, kind, message, incarnation.number)
        position = None if message is None else message.position
        clears = has_marks or kind is Kind.CHILD
        await incarnation.record(effect, consumes=position, clears=clears)
        return effect


def _recorded_deadline(incarnation: Incarnation, marked: str) -> int | None:
    mark = incarnation.effects.get(marked)
    return None if mark is None else int(mark.body)


def _in_time(message: Message, deadline: int | None) -> bool:
    return deadline is None or message.sent_at <= deadline


def _is_over(deadline: int | None, now: int) -> bool:
    return deadline is not None and now >= deadline


def _effect_of(key: str, kind: Kind, message: Message | None, number: int) -> Effect:
    if message is None:
        return Effect(key, kind, "null", incarnation=number)
    return Effect(key, kind, message.body, message.type, incarnation=number)
