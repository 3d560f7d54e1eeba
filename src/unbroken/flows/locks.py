"""`lock`, `semaphore`: places that flows hold one after the other, and the operator's view of them.

A lock is a semaphore for one. The queue of a name is one for the whole store: over all types of
flows and all processes, first come, first served.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from types import TracebackType

import msgspec

from unbroken.engine.engine import Engine
from unbroken.engine.places import Entry, enter, force_out, release
from unbroken.engine.scope import Scope, scope_for_wait
from unbroken.engine.waits import Limit
from unbroken.flows.waits import is_duration
from unbroken.model.clock import MICROSECOND, moment_of
from unbroken.model.errors import UsageError
from unbroken.model.ids import as_name, check_id
from unbroken.stores.store import Place

NAME = "name of a lock"
MOST_PLACES = 1_000_000


class Held:
    """A place in a queue, held between entry and exit; made by `lock` and `semaphore`."""

    __slots__ = ("_entry", "_scope", "_was_entered")

    def __init__(self, scope: Scope, entry: Entry) -> None:
        self._scope = scope
        self._entry = entry
        self._was_entered = False

    async def __aenter__(self) -> None:
        if self._was_entered:
            raise UsageError("it was entered before: write `async with lock(…)` each time")
        self._was_entered = True
        await enter(self._scope, self._entry)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await release(self._scope, self._entry, error)


def lock(
    name: str, /, *, timeout: timedelta | None = None, suspend_after: timedelta | None = None
) -> Held:
    """Let one flow at a time into the block of an `async with`.

    `async with lock("inventory/42"):` holds for all flows of the store. The flow holds the lock
    through crashes, takeovers and suspensions, until the block is left or the flow ends; meanwhile
    others wait in the order in which they came. A flow that holds it may enter again, also in
    another branch: branches of one flow do not exclude each other, and the lock is free when the
    last of them has left.

    Raises TimeoutError at the entry if `timeout` is over (zero: unless it is free at once), and
    stands in the queue no more. `suspend_after` is how long the flow stays in memory while it
    waits. Flows that take the same locks in another order may wait for each other for ever, as does
    a parent that holds what the child wants for which it waits: take locks in one order, or give a
    `timeout`. Raises InvalidId for a bad name.
    """
    return _held("lock", name, 1, timeout, suspend_after)


def semaphore(
    name: str,
    limit: int,
    /,
    *,
    timeout: timedelta | None = None,
    suspend_after: timedelta | None = None,
) -> Held:
    """Let up to `limit` flows at a time into the block; else it is as with `lock`.

    Each waiting flow looks at its own limit: where they differ under one name, a flow goes in as
    soon as it is first in the queue and fewer hold a place than *it* allows. Raises UsageError for
    a limit below 1.
    """
    if type(limit) is not int:
        raise TypeError(f"semaphore(name, limit): the limit is an int, not {limit!r}")
    if not 1 <= limit <= MOST_PLACES:
        raise UsageError(
            f"semaphore({name!r}, {limit}): the limit says how many flows may hold a place, "
            f"from 1 to {MOST_PLACES}"
        )
    return _held("semaphore", name, limit, timeout, suspend_after)


def _held(
    what: str, name: str, limit: int, timeout: timedelta | None, suspend_after: timedelta | None
) -> Held:
    check_id(name, NAME)
    for duration in (timeout, suspend_after):
        if duration is not None and not is_duration(duration):
            raise TypeError(f"{what}(…): `timeout` and `suspend_after` are timedeltas")
    scope = scope_for_wait(f"{what}(…)")
    # One name for both: a lock that becomes a semaphore stays the same place.
    key = scope.take(f"lock:{as_name(name)}", explicit=True)
    scope.incarnation.promise(key)
    time_out = None if timeout is None else Limit(timeout // MICROSECOND, is_relative=True)
    stay = None if suspend_after is None else max(0.0, suspend_after.total_seconds())
    return Held(scope, Entry(key, name, limit, time_out, stay))


class QueuedFlow(msgspec.Struct, frozen=True):
    """A flow in the queue of a lock or semaphore, and since when it holds its place or waits."""

    flow_type: str
    flow_id: str
    since: datetime


class LockQueue:
    """The queue of a lock or semaphore, as an operator sees it from outside of flows."""

    def __init__(self, engine: Callable[[], Engine], name: str) -> None:
        self._engine = engine
        self._name = check_id(name, NAME)

    @property
    def name(self) -> str:
        """The name of the lock or semaphore."""
        return self._name

    async def holders(self) -> Sequence[QueuedFlow]:
        """Give the flows that hold a place, in the order in which they came."""
        return [_queued(place) for place in await self._places() if place.holds]

    async def waiting(self) -> Sequence[QueuedFlow]:
        """Give the flows that wait for a place, first come, first."""
        return [_queued(place) for place in await self._places() if not place.holds]

    async def release(self, flow_type: str, flow_id: str, /) -> bool:
        """Take a flow's place away and let the next ones in, although it has not left the block.

        The flow is not told: what it does in the block, it does beside the next holder. So cancel
        or repair it first, if that is possible. False if it holds no place; one that waits is left
        alone (cancel the flow to take it out of the queue).
        """
        for place in await self._places():
            if place.holds and (place.flow.type, place.flow.id) == (flow_type, flow_id):
                await force_out(self._engine().services, place.flow, self._name)
                return True
        return False

    async def _places(self) -> tuple[Place, ...]:
        services = self._engine().services
        services.rest.begin()
        try:
            return await services.store.places(self._name)
        finally:
            services.rest.end()


def _queued(place: Place) -> QueuedFlow:
    return QueuedFlow(place.flow.type, place.flow.id, moment_of(place.since))
