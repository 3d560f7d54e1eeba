"""Deletion: only what has ended, with all that belongs to it."""

import pytest

from tests.stores.clock import FakeClock
from tests.stores.conftest import Door
from tests.stores.driver import Driver, effect
from unbroken.model.records import Delivery, FlowRef, Status
from unbroken.stores.batch import Correlate, Publish, TakePlace


async def furnished(me: Driver, id: str) -> FlowRef:
    flow = await me.run(id)
    await me.record(effect(flow, "a"), effect(flow, "b"))
    await me.send(id, "m", "n")
    await me.record(effect(flow, "wait", consumes=(1,)))
    return flow


async def test_flows_done_before_the_instant_go_with_all_that_is_theirs(
    me: Driver, door: Door, clock: FakeClock
) -> None:
    old, kept = await furnished(me, "old"), await furnished(me, "kept")
    await me.end(old)
    await clock.advance(10)
    await me.end(kept)
    assert await me.store.delete_ended(clock.now(), 10) == 1
    assert await me.store.find("t", "old") is None
    assert await me.store.find("t", "kept") is not None
    for table, left in [("effects", 3), ("messages", 2)]:
        assert door.count(table, old) == 0
        assert door.count(table, kept) == left
    assert await me.store.delete_ended(clock.now(), 10) == 0


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.PARKED])
async def test_other_ends_are_kept(me: Driver, clock: FakeClock, status: Status) -> None:
    await me.end(await me.run("f"), status)
    await me.run("live")
    await clock.advance(1000)
    assert await me.store.delete_ended(clock.now(), 10) == 0


async def test_the_limit_holds_and_the_oldest_go_first(me: Driver, clock: FakeClock) -> None:
    for name in ("c", "a", "b"):
        await me.end(await me.run(name))
        await clock.advance(1)
    assert await me.store.delete_ended(clock.now(), 2) == 2
    assert await me.store.find("t", "c") is None
    assert await me.store.find("t", "b") is not None
    assert await me.store.delete_ended(clock.now(), 2) == 1


async def test_delete_removes_one_ended_flow(me: Driver, door: Door) -> None:
    flow = await furnished(me, "f")
    assert not await me.store.delete_flow("t", "f"), "it lives"
    assert door.count("effects", flow) == 3
    await me.end(flow, Status.PARKED)
    assert await me.store.delete_flow("t", "f")
    assert not await me.store.delete_flow("t", "f"), "it is gone"
    assert not await me.store.delete_flow("t", "never there")
    assert door.count("effects", flow) == door.count("messages", flow) == 0


async def test_keys_are_forgotten_with_the_flow_and_not_before(me: Driver) -> None:
    flow = await furnished(me, "f")
    assert (await me.send("f", "m")).deliveries == (Delivery.DUPLICATE,)
    await me.end(flow)
    await me.store.delete_flow("t", "f")
    again = await me.run("f")
    assert again != flow
    assert (await me.send("f", "m")).deliveries == (Delivery.ACCEPTED,)


@pytest.mark.parametrize("how", ["delete_flow", "delete_ended"])
async def test_state_correlations_and_places_go_with_the_flow(
    me: Driver, door: Door, clock: FakeClock, how: str
) -> None:
    flow, kept, waiting = await furnished(me, "f"), await furnished(me, "kept"), await me.run("w")
    for one in (flow, kept):
        await me.commit(states=(Publish(one.number, 1, "1", None),))
        await me.change(Correlate(one, 1, "c"))
        await me.change(TakePlace(one, 1, f"of {one.id}", "~lock", 1))
    await me.change(TakePlace(waiting, 1, "of f", "~lock", 1))
    await me.end(flow)
    await clock.advance(1)
    if how == "delete_flow":
        assert await me.store.delete_flow("t", "f")
    else:
        assert await me.store.delete_ended(clock.now(), 10) == 1
    for table in ("states", "correlations", "places"):
        assert door.count(table, flow) == 0
        assert door.count(table, kept) == 1
    # It ended without freeing its place: nobody waits for ever.
    assert [place.holds for place in await me.store.places("of f")] == [True]
    assert await me.inbox(waiting) == ("~lock",)
