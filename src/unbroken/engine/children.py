"""Children: flows started by a flow, once for each key, whose end reaches the parent once.

The start and its record `key.started` share a transaction, which also makes the child remember the
parent. The child's end puts a message into the parent's inbox, in the transaction of that end. A
child that had ended before gives its outcome with the start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import msgspec

from unbroken.engine.cancelling import ChildRef, heed_cancel
from unbroken.engine.completions import COMPLETION, Told, message_of, told_in
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.leaving import leave
from unbroken.engine.scope import SCOPE, Scope
from unbroken.engine.waits import receive, until_cut_again
from unbroken.engine.writing import write_together
from unbroken.model.errors import (
    ErrorInfo,
    FlowNotFound,
    ReplayMismatch,
    StoreError,
    StoreUnavailable,
    TooDeep,
    UsageError,
)
from unbroken.model.records import Effect, Kind, Message, OnCancel, Outcome, Parent, Status
from unbroken.stores.batch import Record, Start, Started

MOST_ANCESTORS = 1000
T = TypeVar("T")


class StartedChild(msgspec.Struct, frozen=True):
    """A child that was started: now, or before as the journal says (`is_replayed`).

    `is_new`: this start made it, so it cannot be waiting for the flow that starts it.
    """

    ref: ChildRef
    ended: Outcome | None = None
    is_replayed: bool = False
    is_new: bool = False


def known_as(scope: Scope, key: str, new: Start) -> str:
    """Give the key under which the journal knows a child: by a former name of its type, maybe."""
    incarnation = scope.incarnation
    suffix = key[len(scope.prefix) + len(new.type) :]
    for name in (new.type, *new.aliases):
        former = f"{scope.prefix}{name}{suffix}"
        if former in incarnation.effects or incarnation.has_beneath(former):
            return former
    return key


async def start_child(scope: Scope, key: str, new: Start, on_cancel: OnCancel) -> StartedChild:
    """Start a child, or attach to it if it exists; give its outcome if it has ended already.

    Raises UsageError if it would wait for the flow itself, TooDeep if flows start flows without
    end, FlowCancelled if a cancel was asked for.
    """
    incarnation = scope.incarnation
    if not incarnation.is_open():
        await leave(incarnation)
    names, ref = (new.type, *new.aliases), ChildRef(new.type, new.id, on_cancel)
    if incarnation.flow.id == new.id and incarnation.flow.type in names:
        raise UsageError(f"{_name(ref)} would wait for itself: give the child its own id")
    started = f"{key}.started"
    if incarnation.was_cut(started):
        await until_cut_again(scope, started)
    incarnation.check_cancelled(started)
    if key in incarnation.effects:
        return StartedChild(ref)
    marker = incarnation.recorded(started, Kind.CHILD)
    if marker is None:
        await heed_cancel(scope, started)
        incarnation.hold(SCOPE.get().prefix, key)
        return await _start(incarnation, key, new, on_cancel)
    incarnation.hold(SCOPE.get().prefix, key)
    recorded = msgspec.json.decode(marker.body, type=ChildRef)
    if recorded.type not in names or recorded.id != new.id:
        raise incarnation.park(ReplayMismatch(key, _name(ref), _name(recorded)))
    stored = msgspec.structs.replace(ref, type=recorded.type)
    return StartedChild(stored, is_replayed=True)


async def _start(
    incarnation: Incarnation, key: str, new: Start, on_cancel: OnCancel
) -> StartedChild:
    services = incarnation.services
    depth = incarnation.depth + 1
    if depth > services.settings.depth_limit:
        raise TooDeep(
            f"child {new.type} {new.id!r} would be number {depth} in a chain of flows that start "
            "flows: let the chain end, or raise Unbroken(depth_limit=…)"
        )
    start = msgspec.structs.replace(
        new,
        due_at=services.replica.now(),
        parent=Parent(incarnation.flow, message_key(incarnation.number, key)),
        depth=depth,
    )
    try:
        ref = ChildRef(await _stored_type(incarnation, new), new.id, on_cancel)
        body = msgspec.json.encode(ref).decode()
        effect = Effect(f"{key}.started", Kind.CHILD, body, incarnation=incarnation.number)
        record = Record(incarnation.flow.number, incarnation.number, effect)
        (started,) = await write_together(incarnation, record, start)
    except asyncio.CancelledError:
        await incarnation.cut(f"{key}.started")
        raise
    assert isinstance(started, Started)
    services.look_for_work()
    return StartedChild(ref, started.outcome, is_new=started.created)


async def _stored_type(incarnation: Incarnation, new: Start) -> str:
    """Give the name under which a child exists already: a former one of its type, maybe."""
    for name in (new.type, *new.aliases) if new.aliases else ():
        if await _find(incarnation, name, new.id) is not None:
            return name
    return new.type


async def _refuse_to_wait_for_ancestor(incarnation: Incarnation, ref: ChildRef) -> None:
    """Look upwards from this flow: who waits for it must not be waited for."""
    store = incarnation.services.store
    above = [parent.flow for parent in incarnation.parents]
    seen: set[tuple[str, str]] = set()
    while above:
        flow = above.pop()
        if (flow.type, flow.id) == (ref.type, ref.id):
            raise UsageError(
                f"{_name(ref)} waits for this flow, which would wait for it: neither would ever end"
            )
        if (flow.type, flow.id) not in seen and len(seen) < MOST_ANCESTORS:
            seen.add((flow.type, flow.id))
            view = await _read(incarnation, partial(store.view, flow.type, flow.id))
            above += [parent.flow for parent in view.parents] if view is not None else []


async def child_outcome(scope: Scope, key: str, child: StartedChild) -> Told:
    """Wait for a started child's end; recorded once, the same on every replay."""
    incarnation = scope.incarnation
    incarnation.is_awaited(key)
    wish = ChildsEnd(_told_under(incarnation, key))
    ended = child.ended
    if child.is_replayed and not _is_answered(incarnation, key, wish):
        try:
            ended = await _find_ended(incarnation, child.ref)
        except asyncio.CancelledError:
            await incarnation.cut(key)
            raise
    has_ended = ended is not None and ended.status != Status.PARKED
    if not has_ended and not child.is_new and not _is_answered(incarnation, key, wish):
        await _refuse_to_wait_for_ancestor(incarnation, child.ref)
    if ended is not None and has_ended and not _is_answered(incarnation, key, wish):
        body = message_of(ended).body
        effect = Effect(key, Kind.CHILD, body, incarnation=incarnation.number)
        await incarnation.record(effect, clears=True)
        return told_in(body)
    told: Told = await receive(
        scope,
        key,
        wish,
        names=frozenset((wish.key,)),
        kind=Kind.CHILD,
        heeds_cancel=child.ref.on_cancel is not OnCancel.WAIT,
    )
    return told


def _is_answered(incarnation: Incarnation, key: str, wish: ChildsEnd) -> bool:
    """Whether the wait needs no look at the child: its end is known, or it was cut."""
    is_known = key in incarnation.effects or incarnation.inbox.holds(wish.key)
    return is_known or incarnation.was_cut(key)


async def _find_ended(incarnation: Incarnation, ref: ChildRef) -> Outcome | None:
    """On a replay: a child that had ended before it was started here never sends a message."""
    outcome = await _find(incarnation, ref.type, ref.id)
    if outcome is None:
        raise FlowNotFound(f"{_name(ref)} was deleted before its result was read")
    return None if outcome.status == Status.LIVE else outcome


async def _find(incarnation: Incarnation, type: str, id: str) -> Outcome | None:
    return await _read(incarnation, partial(incarnation.services.store.find, type, id))


async def _read(incarnation: Incarnation, read: Callable[[], Awaitable[T]]) -> T:
    """Read for a flow, which must not fail because the store does not answer for a while."""
    services = incarnation.services
    backoff = services.backoff()
    while True:
        incarnation.check_open()
        try:
            return await read()
        except StoreUnavailable as error:
            services.replica.report_unavailable(error)
            await backoff.pause()
        except StoreError as error:
            raise incarnation.park(error) from None


def _name(ref: ChildRef) -> str:
    return f"child {ref.type} {ref.id!r}"


class ChildsEnd:
    """The wish for the message that a child's end put into the inbox."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(self, message: Message) -> bool:
        """Whether this is the message."""
        return message.key == self.key and message.type == COMPLETION

    def result(self, effect: Effect) -> Told:
        """Read how the child ended."""
        return told_in(effect.body)


def message_key(incarnation: int, key: str) -> str:
    """Give the key of the message that ends a child's wait; users' keys begin otherwise.

    The incarnation that started the child belongs to it: a flow that begins anew with an empty
    journal may use the same key for another child.
    """
    return f"~{incarnation}:{key}"


def _told_under(incarnation: Incarnation, key: str) -> str:
    marker = incarnation.effects.get(f"{key}.started")
    return message_key(incarnation.number if marker is None else marker.incarnation, key)


def error_of(incarnation: Incarnation, told: Told) -> ErrorInfo:
    """Give a failed child's error."""
    return incarnation.services.serializer.error_info(told.error or "{}")
