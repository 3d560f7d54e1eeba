"""Claims: which flows a replica takes over, and which it parks instead."""

from __future__ import annotations

from unbroken.model.records import Claimed, FlowRef
from unbroken.stores.batch import Claim
from unbroken.stores.transactions.endings import park
from unbroken.stores.transactions.reads import read_claimed
from unbroken.stores.transactions.rows import UNREADABLE, Row
from unbroken.stores.transactions.transaction import Transaction


async def take(
    tx: Transaction, replica: str, claim: Claim
) -> tuple[tuple[Claimed, ...], tuple[FlowRef, ...]]:
    """Make the replica the owner of what it may run; give that, and what was parked instead."""
    chosen, poisonous = await _choose(tx, claim)
    parked = [await park(tx, number, claim.poison) for number in poisonous]
    if not chosen:
        return (), tuple(parked)
    await tx.change("claim", replica=replica, flows=tx.array(chosen))
    claimed, damaged = await read_claimed(tx, replica, chosen)
    parked += [await park(tx, number, UNREADABLE) for number in damaged]
    return claimed, tuple(parked)


async def _choose(tx: Transaction, claim: Claim) -> tuple[list[int], list[int]]:
    """Choose orphans, then what is due, oldest first; and find what must be parked as poison."""
    fresh: list[int] = []
    suspects: list[Row] = []
    if claim.dead:
        dead, types = tx.array(claim.dead), tx.array(claim.types)
        found = await tx.all("orphans", dead=dead, types=types, limit=claim.limit)
        fresh = [number for (number,) in found]
        rows = await tx.all("suspect_orphans", dead=dead, types=types, limit=claim.limit)
        suspects = [(None, number, crashes) for number, crashes in rows]
    due: list[Row] = []
    for name in claim.types:
        due += await tx.all("due", type=name, now=tx.now, limit=claim.limit)
        suspects += await tx.all("suspect_due", type=name, now=tx.now, limit=claim.limit)
    poisonous = [number for _, number, crashes in suspects if crashes >= claim.poison_after]
    waiting = [row for row in suspects if row[2] < claim.poison_after][: claim.suspects]
    orphans = [*fresh, *(number for due_at, number, _ in waiting if due_at is None)]
    due += [(due_at, number) for due_at, number, _ in waiting if due_at is not None]
    due.sort()
    return [*orphans, *(number for _, number in due)][: claim.limit], poisonous
