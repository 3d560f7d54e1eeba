"""What an operator reads and changes of one flow, whoever runs it or nobody.

Each write is one transaction, and is refused if the flow's row moved since it was read.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import msgspec

from unbroken.engine.engine import Engine
from unbroken.engine.journal import DEADLINE
from unbroken.model.errors import FlowMoved, FlowNotFound
from unbroken.model.records import Effect, Outcome, Status
from unbroken.stores.store import Amendment, FlowView

T = TypeVar("T")


async def read_flow(engine: Engine, type: str, id: str) -> tuple[FlowView, Outcome] | None:
    """Read a flow's row and its result, which belong together. None: absent."""
    store = engine.services.store
    while True:
        view = await _counted(engine, store.view(type, id))
        outcome = await _counted(engine, store.find(type, id))
        if view is None or outcome is None:
            return None
        if view.flow == outcome.flow and view.status == outcome.status:
            return view, outcome


async def read_effects(engine: Engine, view: FlowView) -> tuple[Effect, ...]:
    """Read all that a flow has recorded, in the order of keys."""
    return await _counted(engine, engine.services.store.read_effects(view.flow.number))


async def amend(engine: Engine, view: FlowView, amendment: Amendment) -> FlowView:
    """Change a flow that nobody runs; give its row as it is then.

    Raises FlowMoved if it was changed since it was read or runs now, FlowNotFound if it is gone.
    After StoreUnavailable the change may have been made or not: read again.
    """
    if amendment.restarts:
        # A restarted flow has its whole time again: else its time-out would end it at once.
        forgets = (*amendment.forgets, DEADLINE)
        amendment = msgspec.structs.replace(amendment, forgets=forgets)
    store = engine.services.store
    if not await _counted(engine, store.amend(view.flow.number, view.version, amendment)):
        raise await _why_refused(engine, view)
    if amendment.restarts:
        _take_back_what_was_told(engine, view)
        engine.poller.look()
    return _amended(engine, view, amendment)


def _take_back_what_was_told(engine: Engine, view: FlowView) -> None:
    """Let parents that run here forget an end that they have not read, as the store did."""
    for parent in view.parents:
        resident = engine.executor.residents.get(parent.flow.number)
        if resident is not None:
            resident.inbox.take_named(parent.key)


async def _why_refused(engine: Engine, view: FlowView) -> Exception:
    flow = view.flow
    name = f"the flow {flow.type} {flow.id!r}"
    now = await _counted(engine, engine.services.store.view(flow.type, flow.id))
    if now is None or now.flow.number != flow.number:
        return FlowNotFound(f"{name} was deleted")
    if now.owner is not None:
        where = "this process" if now.owner == engine.services.replica.id else "a process"
        return FlowMoved(
            f"{name} is held by {where} (replica {now.owner}, incarnation {now.incarnation}): wait "
            "until it has ended or left memory, or cancel it; then `await panel.refresh()`, look "
            "at it and try again"
        )
    return FlowMoved(
        f"{name} changed since this panel was read (it is {now.status.value} now): "
        "`await panel.refresh()`, look at it and try again"
    )


def _amended(engine: Engine, view: FlowView, amendment: Amendment) -> FlowView:
    """Say how the row stands now; each change counts its version up by one."""
    param = view.param if amendment.param is None else amendment.param
    changed = msgspec.structs.replace(view, version=view.version + 1, param=param)
    if not amendment.restarts:
        return changed
    return msgspec.structs.replace(
        changed,
        status=Status.LIVE,
        due_at=engine.services.replica.now(),
        ended_at=None,
        error=None,
        failures=0,
        crashes=0,
        cancel=False,
    )


async def _counted(engine: Engine, reading: Awaitable[T]) -> T:
    """Await the store as something that is under way."""
    engine.services.rest.begin()
    try:
        return await reading
    finally:
        engine.services.rest.end()
