"""Empties a store through the protocol alone, so that one store serves many sequences."""

from __future__ import annotations

from collections.abc import Sequence

from tests.stores.clock import SECOND, FakeClock
from tests.stores.differential.steps import Commit, Step
from tests.stores.driver import Driver
from unbroken.model.records import FlowRef, Status
from unbroken.stores.batch import Append, End, NewMessage
from unbroken.stores.store import Store

LONGER_THAN_ANY_LEASE = 3600 * SECOND
EVERYTHING = 1000
NEVER = 1 << 30


async def wash(store: Store, clock: FakeClock, types: Sequence[str]) -> None:
    """Let replicas die, end their flows and whatever else is live, and delete every flow."""
    clock.instant += LONGER_THAN_ANY_LEASE
    washer = Driver(store, f"washer at {clock.instant}")
    await store.register(washer.replica)
    dead = (await store.reap(washer.replica, 0)).dead
    await _wake(washer, types)
    if types:
        await _end(washer, types, dead)
    for flow in await _flows(store, types):
        assert await store.delete_flow(flow.type, flow.id), f"{flow} cannot be deleted"
    left = await store.reap(washer.replica, 0)
    assert (left.dead, left.next_expiry) == ((), None), "somebody is left"
    await washer.commit(last=True)


def types_in(steps: Sequence[Step]) -> list[str]:
    """Give the types of flows that a sequence starts."""
    batches = [step.what.batch for step in steps if isinstance(step.what, Commit)]
    starts = [start for batch in batches for start in batch.starts]
    return sorted({start.type for start in starts})


async def _wake(washer: Driver, types: Sequence[str]) -> None:
    """Make due whatever waits for a later time or for a message."""
    for flow in await _flows(washer.store, types, Status.LIVE):
        message = NewMessage("~cancel", "~cancel", "null")
        await washer.commit(changes=(Append(flow.type, flow.id, (message,), cancels=True),))


async def _end(washer: Driver, types: Sequence[str], dead: Sequence[str]) -> None:
    receipt = await washer.claim(
        *types, limit=EVERYTHING, dead=tuple(dead), suspects=EVERYTHING, poison_after=NEVER
    )
    for one in receipt.claimed:
        view = await washer.view(one.flow.id, type=one.flow.type)
        end = End(one.flow, one.incarnation, Status.FAILED, parents=view.parents, frees=True)
        await washer.change(end)


async def _flows(store: Store, types: Sequence[str], *statuses: Status) -> list[FlowRef]:
    found = [await store.list_flows(type_, statuses, 0, EVERYTHING) for type_ in types]
    return [view.flow for views in found for view in views]
