"""The rows of replicas: they come, beat, are settled, and are found dead."""

from __future__ import annotations

from collections.abc import Sequence

from unbroken.stores.store import Reaped
from unbroken.stores.transactions.transaction import Transaction


async def register(tx: Transaction, replica: str, lease: int) -> int:
    """Insert a replica and give the time."""
    await tx.change("register", replica=replica, lease=lease, now=tx.now)
    return tx.now


async def beat(tx: Transaction, replica: str) -> bool:
    """Move a beat to now; False if the row is gone."""
    return await tx.change("beat", replica=replica, now=tx.now) == 1


async def settle(tx: Transaction, replica: str, target: int) -> int | None:
    """Raise the generation to the target if it is lower; give the number of the last batch."""
    await tx.change("settle", replica=replica, target=target)
    row = await tx.first("last_batch", replica=replica)
    return row[0] if row else None


async def look_for_dead(tx: Transaction, me: str, lease: int) -> Reaped:
    """Find owners without a row, and when the first lease of another replica is over."""
    dead = tuple(owner for (owner,) in await tx.all("dead_owners"))
    row = await tx.first("earliest_expiry", replica=me, lease=lease)
    return Reaped(tx.now, 0, dead, row[0] if row else None)


async def others(tx: Transaction, me: str) -> list[str]:
    """Give the ids of every other replica."""
    return [id for (id,) in await tx.all("other_replicas", replica=me)]


async def reap(tx: Transaction, me: str, lease: int, gone: Sequence[str]) -> int:
    """Delete others whose lease is over, and those known to be gone; give how many."""
    return await tx.change("reap", replica=me, now=tx.now, lease=lease, gone=tx.array(gone))
