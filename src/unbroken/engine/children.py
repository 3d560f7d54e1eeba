"""Children: flows started by a flow, once for each key, whose end reaches the parent once.

The start and its record `key.started` share a transaction, which also makes the child remember the
parent. The child's end puts a message into the parent's inbox, in the transaction of that end. A
child that had ended before gives its outcome with the start.
"""

from __future__ import annotations

import msgspec

from unbroken.engine.completions import COMPLETION, Told, message_of, told_in
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.scope import Scope
from unbroken.engine.waits import receive
from unbroken.model import signals
from unbroken.model.errors import BatchRefused, ErrorInfo, FlowNotFound, ReplayMismatch, UsageError
from unbroken.model.records import Effect, Kind, Message, Outcome, Parent, Status
from unbroken.stores.batch import Record, Start, Started


class ChildRef(msgspec.Struct, frozen=True):
    """Which child a key started."""

    type: str
    id: str


async def start_child(scope: Scope, key: str, type: str, id: str, param: str) -> Outcome | None:
    """Start a child, or attach to it if it exists; give its outcome if it has ended already."""
    incarnation = scope.incarnation
    incarnation.check_open()
    _refuse_self(incarnation, type, id)
    if key in incarnation.effects:
        return None
    ref = ChildRef(type, id)
    marker = incarnation.recorded(f"{key}.started", Kind.CHILD)
    if marker is None:
        return await _start(incarnation, key, ref, param)
    recorded = msgspec.json.decode(marker.body, type=ChildRef)
    if recorded != ref:
        sides = (f"child {type} {id!r}", f"child {recorded.type} {recorded.id!r}")
        raise incarnation.park(ReplayMismatch(key, *sides))
    return await _find_ended(incarnation, ref)


async def _start(incarnation: Incarnation, key: str, ref: ChildRef, param: str) -> Outcome | None:
    services = incarnation.services
    parent = Parent(incarnation.flow, message_key(key))
    start = Start(ref.type, ref.id, param, due_at=services.replica.now(), parent=parent)
    body = msgspec.json.encode(ref).decode()
    effect = Effect(f"{key}.started", Kind.CHILD, body, incarnation=incarnation.number)
    incarnation.remember(effect)
    record = Record(incarnation.flow.number, incarnation.number, effect)
    try:
        answers = await services.committer.submit(
            *incarnation.take_unflushed(), start, record, inside=True
        )
    except BatchRefused as error:
        raise incarnation.park(error) from None
    started = next((one for one in answers or () if isinstance(one, Started)), None)
    if started is None:
        incarnation.check_open()
        raise signals.Suspended
    services.look_for_work()
    return started.outcome


async def _find_ended(incarnation: Incarnation, ref: ChildRef) -> Outcome | None:
    """On a replay: a child that had ended before it was started here never sends a message."""
    outcome = await incarnation.services.store.find(ref.type, ref.id)
    if outcome is None:
        raise FlowNotFound(f"child {ref.type} {ref.id!r} was deleted before its result was read")
    return None if outcome.status == Status.LIVE else outcome


async def child_outcome(scope: Scope, key: str, ended: Outcome | None) -> Told:
    """Wait for a started child's end; recorded once, the same on every replay."""
    incarnation = scope.incarnation
    incarnation.taken.pop(key, None)
    expected = message_key(key)
    if ended is not None and ended.status != Status.PARKED and key not in incarnation.effects:
        body = message_of(ended).body
        effect = Effect(key, Kind.CHILD, body, incarnation=incarnation.number)
        await incarnation.record(effect, clears=True)
        return told_in(body)
    told: Told = await receive(
        scope, key, ChildsEnd(expected), names=frozenset((expected,)), kind=Kind.CHILD
    )
    return told


class ChildsEnd:
    """The wish for the message that a child's end put into the inbox."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, message: Message) -> bool:
        """Whether this is the message."""
        return message.key == self._key and message.type == COMPLETION

    def result(self, effect: Effect) -> Told:
        """Read how the child ended."""
        return told_in(effect.body)


def message_key(key: str) -> str:
    """Give the key of the message that ends the wait `key`; users' keys begin otherwise."""
    return f"~{key}"


def error_of(incarnation: Incarnation, told: Told) -> ErrorInfo:
    """Give a failed child's error."""
    return incarnation.services.serializer.error_info(told.error or "{}")


def _refuse_self(incarnation: Incarnation, type: str, id: str) -> None:
    if (incarnation.flow.type, incarnation.flow.id) == (type, id):
        raise UsageError(f"the flow {type} {id!r} would wait for itself: give the child its own id")
