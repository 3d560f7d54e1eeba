"""What operators do to flows that nobody runs, and what retention does to those that have ended."""

from __future__ import annotations

from collections.abc import Sequence

from unbroken.stores.store import Amendment
from unbroken.stores.transactions.endings import forget
from unbroken.stores.transactions.places import free_places, grant_to, leave_with_effects
from unbroken.stores.transactions.rows import UNTOLD, Row, decode_keys, decode_parents
from unbroken.stores.transactions.transaction import Transaction


async def amend(tx: Transaction, flow: int, version: int, amendment: Amendment) -> bool:
    """Change a flow that nobody owns; False if it was moved. Raises DamagedRow."""
    row = await tx.first("amendable", flow=flow, version=version)
    if row is None:
        return False
    await tx.change("amend", flow=flow, param=amendment.param)
    await forget(tx, flow, amendment.forgets)
    await leave_with_effects(tx, flow, amendment.forgets)
    if amendment.restarts:
        await _restart(tx, flow, row)
    return True


async def mend(tx: Transaction, types: Sequence[str]) -> int:
    """Let flows parked as mendable try again; give how many."""
    mended = [flow for (flow,) in await tx.all("mend", types=tx.array(types), now=tx.now)]
    if mended:
        await grant_to(tx, mended)
    return len(mended)


async def delete_ended(tx: Transaction, before: int, limit: int) -> int:
    """Delete flows that were done before an instant, oldest first; give how many."""
    return await _delete(tx, await tx.all("ended_before", before=before, limit=limit))


async def delete_flow(tx: Transaction, type: str, id: str) -> bool:
    """Delete one flow that is not live."""
    return await _delete(tx, await tx.all("removable", type=type, id=id)) == 1


async def _delete(tx: Transaction, rows: Sequence[Row]) -> int:
    """Delete flows with all that is theirs; who waits for their places is told. Give how many."""
    if not rows:
        return 0
    numbers = [number for (number,) in rows]
    await free_places(tx, None, numbers)
    flows = tx.array(numbers)
    await tx.change("delete_effects", flows=flows)
    await tx.change("delete_messages", flows=flows)
    await tx.change("delete_states", flows=flows)
    await tx.change("delete_correlations", flows=flows)
    return await tx.change("delete_flows", flows=flows)


async def _restart(tx: Transaction, flow: int, row: Row) -> None:
    status, failed_at, parents = row
    if status not in UNTOLD:
        await _take_back_what_was_told(tx, parents)
    keys = decode_keys(failed_at)
    await forget(tx, flow, [key for key in keys if not await _may_begin_once(tx, flow, key)])
    await tx.change("restart", flow=flow, now=tx.now)
    await tx.change("drop_cancel", flow=flow)
    await tx.change("forget_cancel", flow=flow)
    await grant_to(tx, (flow,))


async def _take_back_what_was_told(tx: Transaction, parents: str) -> None:
    """A parent that has not consumed the news yet waits for the later end instead."""
    for parent in decode_parents(parents):
        await tx.change("drop_told", flow=parent.flow.number, key=parent.key)


async def _may_begin_once(tx: Transaction, flow: int, key: str) -> bool:
    return await tx.first("has_effect", flow=flow, key=f"{key}.begun") is not None
