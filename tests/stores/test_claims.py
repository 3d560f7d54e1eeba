"""Claims: exclusive, oldest first, complete; orphans, suspects, poison and damaged rows."""

from collections.abc import Callable

import pytest

from tests.stores.clock import SECOND, FakeClock
from tests.stores.conftest import HOLDS_ANY_BYTES, Door
from tests.stores.driver import Driver, effect
from unbroken.model.records import FlowRef, Status
from unbroken.stores.batch import Receipt, Start

Kill = Callable[[Driver], None]


def ids(receipt: Receipt) -> list[str]:
    return [claimed.flow.id for claimed in receipt.claimed]


async def crash(driver: Driver, kill: Kill, *, dead: str) -> Driver:
    """Let the dead replica's row go; give a new replica that may take its flows."""
    door_driver = Driver(driver.store, dead)
    kill(door_driver)
    name = f"{dead}+"
    await driver.store.register(name)
    return Driver(driver.store, name)


async def test_a_claimed_flow_belongs_to_its_claimer_alone(me: Driver, other: Driver) -> None:
    flow = (await me.start("f")).flow
    assert ids(await me.claim()) == ["f"]
    assert ids(await other.claim()) == []
    assert ids(await me.claim()) == []
    assert await me.store.owned("me") == {flow.number: 1}
    assert await me.store.owned("other") == {}


async def test_a_claim_brings_all_that_an_incarnation_needs(me: Driver) -> None:
    flow = await me.run("f", param='{"n":1}')
    await me.record(effect(flow, "b", "2"), effect(flow, "a", "1"))
    await me.send("f", "x", "y", "x")
    await me.record(effect(flow, "wait", consumes=(1,)))
    await me.release(flow)
    (claimed,) = (await me.claim()).claimed
    assert (claimed.flow, claimed.incarnation, claimed.param) == (flow, 2, '{"n":1}')
    assert {one.key: one.body for one in claimed.effects} == {"a": "1", "b": "2", "wait": "1"}
    assert [message.key for message in claimed.messages] == ["y"]
    assert (claimed.inbox, claimed.crashes) == (3, 0)
    assert (claimed,) == await me.store.load("me", (flow.number,))


async def test_effects_and_messages_go_to_their_own_flows(me: Driver) -> None:
    for name in ("a", "b", "c"):
        flow = await me.run(name)
        await me.record(effect(flow, f"effect of {name}"))
        await me.send(name, f"message to {name}")
        await me.release(flow)
    for claimed in (await me.claim()).claimed:
        name = claimed.flow.id
        assert [one.key for one in claimed.effects] == [f"effect of {name}"]
        assert [message.key for message in claimed.messages] == [f"message to {name}"]


async def test_the_oldest_due_flows_come_first_over_all_types(me: Driver, clock: FakeClock) -> None:
    for seconds, id, type_ in [(3, "c", "t"), (1, "a", "u"), (4, "d", "u"), (2, "b", "t")]:
        await me.start(id, type=type_, due_at=clock.now() + seconds * SECOND)
    await clock.advance(10)
    assert ids(await me.claim("t", "u", limit=3)) == ["a", "b", "c"]
    assert ids(await me.claim("t", "u", limit=3)) == ["d"]


async def test_a_claim_takes_known_types_only(me: Driver, other: Driver, kill: Kill) -> None:
    await me.start("a", type="known")
    await me.start("b", type="unknown")
    await other.run("c", type="known")
    await other.run("d", type="unknown")
    kill(other)
    assert ids(await me.claim("known", "never seen", dead=("other",))) == ["c", "a"]


async def test_nothing_due_is_an_empty_claim(me: Driver) -> None:
    receipt = await me.claim()
    assert (receipt.claimed, receipt.parked) == ((), ())


async def test_a_limit_of_zero_takes_nothing(me: Driver, other: Driver, kill: Kill) -> None:
    await me.start("a")
    await other.run("b")
    kill(other)
    assert ids(await me.claim(limit=0, dead=("other",))) == []


@pytest.mark.parametrize("status", [Status.DONE, Status.FAILED, Status.CANCELLED, Status.PARKED])
async def test_an_ended_flow_is_never_claimed(me: Driver, clock: FakeClock, status: Status) -> None:
    await me.end(await me.run("f"), status)
    await clock.advance(1000)
    assert ids(await me.claim(dead=("me", "other"))) == []


async def test_a_fenced_claim_takes_nothing(me: Driver, other: Driver, kill: Kill) -> None:
    await other.start("f")
    kill(me)
    from unbroken.stores.batch import Claim

    assert await me.store.commit(me.batch(claim=Claim(("t",), 10))) is None
    assert ids(await other.claim()) == ["f"]


async def test_orphans_come_before_what_is_due(me: Driver, other: Driver, kill: Kill) -> None:
    await me.start("due")
    await other.run("orphan")
    kill(other)
    assert ids(await me.claim(limit=1, dead=("other",))) == ["orphan"]
    assert ids(await me.claim(limit=1, dead=("other",))) == ["due"]


async def test_a_living_owner_is_not_robbed_even_if_it_is_called_dead(
    me: Driver, other: Driver
) -> None:
    flow = await other.run("f")
    assert ids(await me.claim(dead=("other",))) == []
    assert await other.record(effect(flow, "a")) == frozenset()


async def test_nobody_takes_an_orphan_that_is_not_called_dead(
    me: Driver, other: Driver, kill: Kill
) -> None:
    await other.run("f")
    kill(other)
    assert ids(await me.claim()) == []


async def test_a_zombie_writes_nothing_after_its_flow_was_taken(
    me: Driver, other: Driver, kill: Kill
) -> None:
    flow = await other.run("f")
    kill(other)
    await me.claim(dead=("other",))
    zombie = other.batch(records=(effect(flow, "late"),), starts=(Start("t", "late", "{}"),))
    assert await me.store.commit(zombie) is None
    (loaded,) = await me.store.load("me", (flow.number,))
    assert loaded.effects == ()
    assert await me.store.find("t", "late") is None


async def test_an_old_claim_of_a_new_replica_of_the_same_process_is_refused(
    me: Driver, other: Driver, kill: Kill
) -> None:
    flow = await other.run("f")
    kill(other)
    await me.claim(dead=("other",))
    # The process that was `other` goes on as `me`, with a coroutine of the old incarnation left.
    assert await me.record(effect(flow, "late", incarnation=1)) == {0}
    assert await me.record(effect(flow, "now", incarnation=2)) == frozenset()


async def test_a_flow_whose_maker_died_at_once_is_finished_by_another(
    me: Driver, other: Driver, kill: Kill
) -> None:
    await other.start("f")
    kill(other)
    assert ids(await me.claim()) == ["f"]


async def test_losing_the_replica_is_counted_until_there_is_progress(
    me: Driver, kill: Kill
) -> None:
    flow = await me.run("f")
    driver, incarnation = me, 1
    for crashes in (1, 2, 3):
        dead = driver.replica
        driver = await crash(driver, kill, dead=dead)
        (claimed,) = (await driver.claim(dead=(dead,))).claimed
        incarnation += 1
        assert (claimed.crashes, claimed.incarnation) == (crashes, incarnation)
    await driver.record(effect(flow, "progress", incarnation=incarnation))
    dead = driver.replica
    driver = await crash(driver, kill, dead=dead)
    (claimed,) = (await driver.claim(dead=(dead,))).claimed
    assert claimed.crashes == 1


async def test_a_suspension_forgets_earlier_losses_and_a_release_does_not(
    me: Driver, kill: Kill
) -> None:
    flow = await me.run("f")
    driver = await crash(me, kill, dead="me")
    await driver.claim(dead=("me",))
    await driver.release(flow, incarnation=2)
    (claimed,) = (await driver.claim()).claimed
    assert claimed.crashes == 1
    await driver.suspend(flow, incarnation=3, due_at=0)
    (claimed,) = (await driver.claim()).claimed
    assert claimed.crashes == 0


async def lost_twice(me: Driver, kill: Kill, names: list[str]) -> Driver:
    """Make flows whose next claim is their second loss without progress."""
    for name in names:
        await me.run(name)
    driver = await crash(me, kill, dead="me")
    assert len((await driver.claim(dead=("me",), limit=100)).claimed) == len(names)
    return await crash(driver, kill, dead="me+")


async def test_suspects_are_claimed_few_at_a_time_and_hold_up_nobody(
    me: Driver, kill: Kill
) -> None:
    driver = await lost_twice(me, kill, ["s1", "s2", "s3"])
    await driver.start("due")
    first = ids(await driver.claim(dead=("me+",), suspects=1))
    assert len(first) == 2
    assert first[-1] == "due"
    second = ids(await driver.claim(dead=("me+",), suspects=0))
    assert second == []
    third = ids(await driver.claim(dead=("me+",), suspects=5))
    assert sorted([first[0], *third]) == ["s1", "s2", "s3"]


async def test_a_released_suspect_is_still_a_suspect(me: Driver, kill: Kill) -> None:
    driver = await lost_twice(me, kill, ["s1", "s2"])
    claimed = (await driver.claim(dead=("me+",), suspects=2)).claimed
    for one in claimed:
        await driver.release(one.flow, incarnation=one.incarnation)
    await driver.start("due")
    assert ids(await driver.claim(suspects=0)) == ["due"]
    assert len(ids(await driver.claim(suspects=1))) == 1
    assert len(ids(await driver.claim(suspects=1))) == 1


async def test_poison_is_parked_with_its_error_and_the_others_go_on(
    me: Driver, kill: Kill, clock: FakeClock
) -> None:
    driver = await lost_twice(me, kill, ["s1", "s2"])
    await driver.start("due")
    receipt = await driver.claim(dead=("me+",), poison_after=2, poison="poisonous")
    assert ids(receipt) == ["due"]
    assert sorted(flow.id for flow in receipt.parked) == ["s1", "s2"]
    view = await driver.store.view("t", "s1")
    outcome = await driver.store.find("t", "s1")
    assert view is not None
    assert outcome is not None
    assert (view.status, view.owner, view.ended_at) == (Status.PARKED, None, clock.now())
    assert outcome.error == "poisonous"
    assert ids(await driver.claim(dead=("me+",), suspects=9)) == []


async def test_poison_does_not_use_up_the_room_of_suspects(me: Driver, kill: Kill) -> None:
    driver = await lost_twice(me, kill, ["bad"])
    await driver.claim(dead=("me+",))
    dead = driver.replica
    for name in ("s1", "s2"):
        await driver.run(name)
    driver = await crash(driver, kill, dead=dead)
    receipt = await driver.claim(dead=(dead,), poison_after=3, suspects=0)
    assert sorted(ids(receipt)) == ["s1", "s2"]
    assert [flow.id for flow in receipt.parked] == ["bad"]


async def test_suspects_do_not_hide_poison(me: Driver, kill: Kill) -> None:
    driver = await lost_twice(me, kill, ["s1", "s2", "bad"])
    await driver.claim(dead=("me+",), suspects=3)
    for id in ("s1", "s2"):
        view = await driver.store.view("t", id)
        assert view is not None
        await driver.record(effect(view.flow, "progress", incarnation=view.incarnation))
    driver = await crash(driver, kill, dead="me++")
    assert ids(await driver.claim(dead=("me++",), limit=2)) == ["s1", "s2"]
    driver = await crash(driver, kill, dead="me+++")
    dead = ("me+++", "me++")
    receipt = await driver.claim(dead=dead, limit=1, suspects=0, poison_after=3)
    assert ids(receipt) == []
    assert [flow.id for flow in receipt.parked] == ["bad"]


@HOLDS_ANY_BYTES
@pytest.mark.parametrize("damage", ["flows.param", "effects.body", "messages.body", "messages.key"])
async def test_a_row_that_is_no_text_parks_its_flow_only(
    me: Driver, door: Door, damage: str
) -> None:
    await _claim_beside_a_damaged_one(me, lambda flow: door.damage_text(flow, damage))


async def test_a_row_that_makes_no_sense_parks_its_flow_only(me: Driver, door: Door) -> None:
    await _claim_beside_a_damaged_one(me, door.damage_parents)


async def _claim_beside_a_damaged_one(me: Driver, damage: Callable[[FlowRef], None]) -> None:
    for name in ("a", "bad", "z"):
        flow = await me.run(name)
        await me.record(effect(flow, "e"))
        await me.send(name, "m")
        await me.release(flow)
        if name == "bad":
            damage(flow)
    receipt = await me.claim()
    assert sorted(ids(receipt)) == ["a", "z"]
    assert [flow.id for flow in receipt.parked] == ["bad"]
    outcome = await me.store.find("t", "bad")
    assert outcome is not None
    assert outcome.status is Status.PARKED
    assert "StoreCorrupt" in (outcome.error or "")
    assert all(len(one.effects) == len(one.messages) == 1 for one in receipt.claimed)


async def test_load_leaves_out_what_is_not_owned_or_cannot_be_read(
    me: Driver, other: Driver, door: Door
) -> None:
    mine, bad, theirs = await me.run("mine"), await me.run("bad"), await other.run("theirs")
    door.damage_parents(bad)
    numbers = [mine.number, bad.number, theirs.number, 10**9]
    assert [one.flow for one in await me.store.load("me", numbers)] == [mine]


async def test_claims_by_turns_divide_the_work_without_overlap(me: Driver, other: Driver) -> None:
    await me.commit(starts=tuple(Start("t", f"f{number}", "{}") for number in range(50)))
    taken: list[str] = []
    for _ in range(5):
        taken += ids(await me.claim(limit=5))
        taken += ids(await other.claim(limit=5))
    assert len(taken) == 50
    assert len(set(taken)) == 50
