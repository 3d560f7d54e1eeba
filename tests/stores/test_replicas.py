"""Replicas: registration, the fence, settling, the beat, death."""

import pytest

from tests.stores.clock import SECOND, FakeClock
from tests.stores.conftest import Door
from tests.stores.driver import Driver, effect
from unbroken.model.errors import StoreError
from unbroken.stores.batch import Batch, Start
from unbroken.stores.store import Store

LEASE = 20 * SECOND


async def test_register_gives_the_stores_time(store: Store, clock: FakeClock) -> None:
    assert await store.register("a") == clock.now()


async def test_an_id_is_registered_once(store: Store) -> None:
    await store.register("a")
    with pytest.raises(StoreError):
        await store.register("a")


async def test_a_batch_needs_the_row_the_generation_and_the_next_number(me: Driver) -> None:
    await me.commit()
    for replica, generation, number in [
        ("me", 0, 1),  # the same batch again
        ("me", 0, 3),  # one is missing
        ("me", 1, 2),
        ("stranger", 0, 1),
    ]:
        batch = Batch(replica, generation, number, starts=(Start("t", "x", "{}"),))
        assert await me.store.commit(batch) is None
    assert await me.store.find("t", "x") is None
    await me.commit()


async def test_a_fenced_batch_writes_nothing_of_any_kind(me: Driver, door: Door) -> None:
    flow = await me.run("f")
    door.delete_replica("me")
    before = await me.store.view("t", "f")
    batch = me.batch(
        starts=(Start("t", "g", "{}"),),
        records=(effect(flow, "e"),),
    )
    assert await me.store.commit(batch) is None
    assert await me.store.view("t", "f") == before
    assert await me.store.find("t", "g") is None
    assert door.count("effects", flow) == 0


async def test_the_receipt_carries_the_stores_time(me: Driver, clock: FakeClock) -> None:
    await clock.advance(3)
    assert (await me.commit()).at == clock.now()


async def test_settle_says_which_batch_landed_last(me: Driver) -> None:
    await me.commit()
    await me.commit()
    assert await me.store.settle("me", 1) == 2


async def test_no_batch_of_an_older_generation_lands_after_settle(me: Driver) -> None:
    late = me.batch(starts=(Start("t", "x", "{}"),))
    assert await me.store.settle("me", 1) == 0
    assert await me.store.commit(late) is None
    me.generation = 1
    await me.commit(starts=(Start("t", "x", "{}"),))


async def test_a_settle_that_arrives_late_changes_nothing(me: Driver) -> None:
    assert await me.store.settle("me", 3) == 0
    assert await me.store.settle("me", 1) == 0
    me.generation = 3
    await me.commit()


async def test_settle_of_a_dead_replica_finds_no_row(me: Driver, door: Door) -> None:
    door.delete_replica("me")
    assert await me.store.settle("me", 1) is None


async def test_beat_finds_out_that_the_row_is_gone_and_never_brings_it_back(
    me: Driver, door: Door
) -> None:
    assert await me.store.beat("me")
    door.delete_replica("me")
    assert not await me.store.beat("me")
    assert not await me.store.beat("me")
    assert await me.store.settle("me", 1) is None


async def test_reap_deletes_who_has_not_beaten_for_a_lease(
    me: Driver, other: Driver, clock: FakeClock
) -> None:
    flow = await other.run("f")
    await clock.advance(20)
    reaped = await me.store.reap("me", LEASE)
    assert (reaped.removed, reaped.dead) == (0, ())
    assert reaped.next_expiry == clock.now()
    await clock.advance(0.001)
    reaped = await me.store.reap("me", LEASE)
    assert (reaped.removed, reaped.dead, reaped.next_expiry) == (1, ("other",), None)
    assert reaped.at == clock.now()
    assert await me.store.commit(other.batch(records=(effect(flow, "e"),))) is None


async def test_reap_takes_only_those_whose_lease_is_over(
    me: Driver, other: Driver, clock: FakeClock
) -> None:
    await clock.advance(1)
    await me.store.register("younger")
    await clock.advance(20)
    assert (await me.store.reap("me", LEASE)).removed == 1
    assert not await me.store.beat("other")
    assert await me.store.beat("younger")


async def test_reap_spares_a_replica_for_its_own_longer_lease(me: Driver, clock: FakeClock) -> None:
    await me.store.register("patient", 3 * LEASE)
    await clock.advance(21)
    reaped = await me.store.reap("me", LEASE)
    assert (reaped.removed, reaped.next_expiry) == (0, clock.now() - 21_000_000 + 3 * LEASE)
    await clock.advance(40)
    assert (await me.store.reap("me", LEASE)).removed == 1


async def test_reap_goes_on_reporting_owners_without_a_row(
    me: Driver, other: Driver, door: Door
) -> None:
    await other.run("f")
    door.delete_replica("other")
    for _ in range(2):
        reaped = await me.store.reap("me", LEASE)
        assert (reaped.removed, reaped.dead) == (0, ("other",))


async def test_reap_names_each_dead_owner_once(me: Driver, door: Door) -> None:
    for name in ("a", "b", "c"):
        await me.store.register(name)
        driver = Driver(me.store, name)
        for number in range(3):
            await driver.run(f"{name}{number}")
        await driver.start(f"{name}-due")
    await me.run("mine")
    door.delete_replica("a")
    door.delete_replica("c")
    assert (await me.store.reap("me", LEASE)).dead == ("a", "c")


async def test_reap_spares_oneself(me: Driver, clock: FakeClock) -> None:
    await clock.advance(100)
    assert (await me.store.reap("me", LEASE)).removed == 0
    assert await me.store.beat("me")


@pytest.mark.parametrize("sign", ["beat", "batch"])
async def test_a_beat_or_a_batch_keeps_a_replica_alive(
    me: Driver, other: Driver, clock: FakeClock, sign: str
) -> None:
    for _ in range(3):
        await clock.advance(15)
        if sign == "beat":
            assert await other.store.beat("other")
        else:
            await other.commit()
        reaped = await me.store.reap("me", LEASE)
        assert (reaped.removed, reaped.next_expiry) == (0, clock.now() + LEASE)


async def test_the_last_batch_deletes_the_row(me: Driver) -> None:
    flow = await me.run("f")
    assert (await me.release(flow)).answer.value == "accepted"
    await me.commit(last=True)
    assert not await me.store.beat("me")
    assert await me.store.commit(me.batch()) is None


async def test_last_beat_is_when_the_sign_of_life_was_sent(store: Store, clock: FakeClock) -> None:
    await store.register("me")
    assert store.last_beat() == clock.monotonic()
    await clock.advance(1)
    await store.beat("me")
    assert store.last_beat() == clock.monotonic()
    await clock.advance(1)
    await Driver(store, "me").commit()
    assert store.last_beat() == clock.monotonic()
    await clock.advance(1)
    assert not await store.beat("nobody")
    assert store.last_beat() == clock.monotonic() - 1
