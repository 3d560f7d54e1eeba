"""Children: flows started by a flow, once for each key, whose end reaches the parent once.

The start and its record `key.started` share a transaction, which also makes the child remember the
parent. The child's end puts a message into the parent's inbox, in the transaction of that end. A
child that had ended before gives its outcome with the start.
"""

from __future__ import annotations

import asyncio

import msgspec

from unbroken.engine.completions import COMPLETION, Told, message_of, told_in
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.leaving import leave
from unbroken.engine.outcomes import Lost
from unbroken.engine.scope import Scope
from unbroken.engine.waits import receive, until_cut_again
from unbroken.model import signals
from unbroken.model.errors import (
    BatchRefused,
    ErrorInfo,
    FlowNotFound,
    ReplayMismatch,
    StoreError,
    StoreUnavailable,
    UsageError,
)
from unbroken.model.records import Effect, Kind, Message, Outcome, Parent, Status
from unbroken.stores.batch import Record, Start, Started


class ChildRef(msgspec.Struct, frozen=True):
    """Which child a key started."""

    type: str
    id: str


class StartedChild(msgspec.Struct, frozen=True):
    """A child that was started: now, or before as the journal says (`is_replayed`)."""

    ref: ChildRef
    ended: Outcome | None = None
    is_replayed: bool = False


async def start_child(scope: Scope, key: str, ref: ChildRef, param: str) -> StartedChild:
    """Start a child, or attach to it if it exists; give its outcome if it has ended already."""
    incarnation = scope.incarnation
    if not incarnation.is_open():
        await leave(incarnation)
    if (incarnation.flow.type, incarnation.flow.id) == (ref.type, ref.id):
        raise UsageError(f"{_name(ref)} would wait for itself: give the child its own id")
    started = f"{key}.started"
    if incarnation.was_cut(started):
        await until_cut_again(scope, started)
    if key in incarnation.effects:
        return StartedChild(ref)
    marker = incarnation.recorded(started, Kind.CHILD)
    if marker is None:
        return StartedChild(ref, await _start(incarnation, key, ref, param))
    recorded = msgspec.json.decode(marker.body, type=ChildRef)
    if recorded != ref:
        raise incarnation.park(ReplayMismatch(key, _name(ref), _name(recorded)))
    return StartedChild(ref, is_replayed=True)


async def _start(incarnation: Incarnation, key: str, ref: ChildRef, param: str) -> Outcome | None:
    services = incarnation.services
    parent = Parent(incarnation.flow, message_key(key))
    start = Start(ref.type, ref.id, param, due_at=services.replica.now(), parent=parent)
    body = msgspec.json.encode(ref).decode()
    effect = Effect(f"{key}.started", Kind.CHILD, body, incarnation=incarnation.number)
    incarnation.remember(effect)
    record = Record(incarnation.flow.number, incarnation.number, effect)
    storing = services.committer.submit(*incarnation.take_unflushed(), start, record, inside=True)
    try:
        answers = await asyncio.shield(storing) or ()
    except BatchRefused as error:
        raise incarnation.park(error) from None
    except asyncio.CancelledError:
        await incarnation.cut(effect.key)
        raise
    started = next((one for one in answers if isinstance(one, Started)), None)
    if started is None or False in answers:
        incarnation.seal(Lost())
        raise signals.Suspended
    services.look_for_work()
    return started.outcome


async def child_outcome(scope: Scope, key: str, child: StartedChild) -> Told:
    """Wait for a started child's end; recorded once, the same on every replay."""
    incarnation = scope.incarnation
    incarnation.is_awaited(key)
    wish = ChildsEnd(message_key(key))
    ended = child.ended
    if child.is_replayed and not _is_answered(incarnation, key, wish):
        try:
            ended = await _find_ended(incarnation, child.ref)
        except asyncio.CancelledError:
            await incarnation.cut(key)
            raise
    if ended is None:
        _refuse_to_wait_for_parent(incarnation, child.ref)
    elif ended.status != Status.PARKED and not _is_answered(incarnation, key, wish):
        body = message_of(ended).body
        effect = Effect(key, Kind.CHILD, body, incarnation=incarnation.number)
        await incarnation.record(effect, clears=True)
        return told_in(body)
    told: Told = await receive(scope, key, wish, names=frozenset((wish.key,)), kind=Kind.CHILD)
    return told


def _is_answered(incarnation: Incarnation, key: str, wish: ChildsEnd) -> bool:
    """Whether the wait needs no look at the child: its end is known, or it was cut."""
    is_known = key in incarnation.effects or incarnation.inbox.holds(wish)
    return is_known or incarnation.was_cut(key)


async def _find_ended(incarnation: Incarnation, ref: ChildRef) -> Outcome | None:
    """On a replay: a child that had ended before it was started here never sends a message."""
    services = incarnation.services
    backoff = services.backoff()
    while True:
        incarnation.check_open()
        try:
            outcome = await services.store.find(ref.type, ref.id)
        except StoreUnavailable as error:
            services.replica.report_unavailable(error)
            await backoff.pause()
            continue
        except StoreError as error:
            raise incarnation.park(error) from None
        if outcome is None:
            raise FlowNotFound(f"{_name(ref)} was deleted before its result was read")
        return None if outcome.status == Status.LIVE else outcome


def _refuse_to_wait_for_parent(incarnation: Incarnation, ref: ChildRef) -> None:
    for parent in incarnation.parents:
        if (parent.flow.type, parent.flow.id) == (ref.type, ref.id):
            raise UsageError(
                f"{_name(ref)} waits for this flow, which would wait for it: neither would ever end"
            )


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


def message_key(key: str) -> str:
    """Give the key of the message that ends the wait `key`; users' keys begin otherwise."""
    return f"~{key}"


def error_of(incarnation: Incarnation, told: Told) -> ErrorInfo:
    """Give a failed child's error."""
    return incarnation.services.serializer.error_info(told.error or "{}")
