"""How a cancel reaches a flow: raised once, at the next use of the engine, and recorded there.

`key.cancel` says where. It consumes the message that asked, and asks those children to cancel
themselves whose policy says so, in one transaction. On a replay it is raised at the same key again.
If the user's own cancel cut that (`key.cut`), it was not heard there, and is raised elsewhere.
After it the flow may compensate with captures; whatever it then returns, it ends as cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from unbroken.engine.incarnation import CANCEL, Cancel, Incarnation
from unbroken.engine.journal import DEADLINE
from unbroken.engine.scope import Scope
from unbroken.engine.writing import write_together
from unbroken.model.clock import MICROSECOND
from unbroken.model.records import Effect, Kind, OnCancel
from unbroken.stores.batch import Append, NewMessage, Record


class ChildRef(msgspec.Struct, frozen=True):
    """Which child a key started."""

    type: str
    id: str
    on_cancel: OnCancel = OnCancel.CANCEL


def cancel_message() -> NewMessage:
    """Give the message that asks a flow to cancel itself; a flow takes only one."""
    return NewMessage(CANCEL, CANCEL, "null")


def cancel_of(ref: ChildRef) -> Append:
    """Ask a child to cancel itself."""
    return Append(ref.type, ref.id, (cancel_message(),), cancels=True)


async def heed_cancel(scope: Scope, key: str) -> None:
    """Raise FlowCancelled here, and on every replay, if a cancel was asked for.

    Only for what no former run has gone past: else the flow would meet its cancel before what it
    has already done, and not undo that. A body runs to its end: nothing in it is cancelled; so does
    what a saga undoes.
    """
    cancel = scope.incarnation.cancel
    if cancel is not None and scope.body_of is None and scope.heeds_cancel:
        await _accept(scope.incarnation, key, cancel)


async def _accept(incarnation: Incarnation, key: str, cancel: Cancel) -> None:
    incarnation.check_open()
    incarnation.cancel = None
    effect = Effect(
        f"{key}.cancel",
        Kind.CANCEL,
        "null",
        failed=cancel.position is None,
        digest=cancel.position,
        incarnation=incarnation.number,
    )
    consumes = () if cancel.position is None else (cancel.position,)
    record = Record(incarnation.flow.number, incarnation.number, effect, consumes)
    children = [cancel_of(ref) for ref in live_children(incarnation.effects)]
    try:
        await write_together(incarnation, record, *children)
    except asyncio.CancelledError:
        await incarnation.cut(key)
        if not incarnation.is_sealed:
            incarnation.ask_to_cancel(cancel)  # nobody heard it here: it is raised elsewhere
        raise
    incarnation.cancelled_at = key
    incarnation.emit("flow.cancelled", f"raised at {key!r}")
    raise incarnation.cancel_error()


def live_children(effects: Mapping[str, Effect]) -> list[ChildRef]:
    """Give the children among these effects that are not awaited yet and go with their parent."""
    found: list[ChildRef] = []
    for key, effect in effects.items():
        if effect.kind != Kind.CHILD or not key.endswith(".started"):
            continue
        if key.removesuffix(".started") not in effects:
            ref = msgspec.json.decode(effect.body, type=ChildRef)
            if ref.on_cancel is OnCancel.CANCEL:
                found.append(ref)
    return found


def begin_limit(incarnation: Incarnation, seconds: float) -> None:
    """Let the flow's time run, from when its first incarnation began; recorded once."""
    if incarnation.cancelled_at is not None:
        return
    mark = incarnation.effects.get(DEADLINE)
    if mark is None:
        deadline = incarnation.services.replica.latest() + int(
            seconds / MICROSECOND.total_seconds()
        )
        number = incarnation.number
        mark = Effect(DEADLINE, Kind.DEADLINE, str(deadline), incarnation=number)
        incarnation.remember(mark)
        incarnation.queue_and_go_on(mark)
    if incarnation.services.replica.now() >= int(mark.body):
        incarnation.ask_to_cancel(Cancel())
    else:
        incarnation.set_limit(int(mark.body))
