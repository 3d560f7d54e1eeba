"""What operators and new deploys change: arguments, effects, restarts, parked flows tried again."""

from typing import Any

import pytest

from tests.stores.clock import FakeClock
from tests.stores.conftest import Door
from tests.stores.driver import Driver, effect, note
from unbroken.model.errors import StoreCorrupt
from unbroken.model.records import FlowRef, Kind, Parent, Status
from unbroken.stores.batch import Answer, Correlate, Publish
from unbroken.stores.store import Amendment, State

ENDS = [one for one in Status if one is not Status.LIVE]
TOLD = note("", '{"done":1}')


async def amend(driver: Driver, id: str, **what: Any) -> bool:
    view = await driver.view(id)
    return await driver.store.amend(view.flow.number, view.version, Amendment(**what))


# arguments and effects


async def test_arguments_are_replaced(me: Driver) -> None:
    await me.suspend(await me.run("f", param="1"))
    before = await me.view("f")
    assert await amend(me, "f", param="2")
    view = await me.view("f")
    assert (view.param, view.version) == ("2", before.version + 1)
    assert (view.status, view.due_at, view.incarnation) == (Status.LIVE, None, 1)


async def test_effects_are_removed_with_all_beneath(me: Driver) -> None:
    flow, twin = await me.run("f", param="1"), await me.run("twin")
    kept, gone = ("a", "pay#2", "payed", "pay0"), ("pay", "pay.begun", "pay/x.1", "b")
    await me.record(*(effect(flow, key) for key in (*kept, *gone)))
    await me.record(effect(twin, "pay"))
    await me.suspend(flow)
    assert await amend(me, "f", forgets=("pay", "b", "never there"))
    assert set(await me.keys(flow)) == set(kept)
    assert await me.keys(twin) == ["pay"]
    assert (await me.view("f")).param == "1"


async def test_a_flow_that_runs_is_not_amended(me: Driver) -> None:
    flow = await me.run("f", param="1")
    await me.record(effect(flow, "a"))
    before = await me.view("f")
    assert not await amend(me, "f", param="2", forgets=("a",), restarts=True)
    assert await me.view("f") == before
    assert await me.keys(flow) == ["a"]


async def test_a_flow_that_was_moved_is_not_amended(me: Driver) -> None:
    flow = await me.run("f", param="1")
    await me.record(effect(flow, "a"))
    await me.suspend(flow)
    version = (await me.view("f")).version
    await me.send("f", "m")
    before = await me.view("f")
    amendment = Amendment(param="2", forgets=("a",), restarts=True)
    assert not await me.store.amend(flow.number, version, amendment)
    assert await me.view("f") == before
    assert await me.keys(flow) == ["a"]
    assert not await me.store.amend(10**9, 1, amendment)


async def test_of_two_amendments_of_one_version_the_first_one_counts(me: Driver) -> None:
    flow = await me.run("f")
    await me.suspend(flow)
    version = (await me.view("f")).version
    assert await me.store.amend(flow.number, version, Amendment(param="1"))
    assert not await me.store.amend(flow.number, version, Amendment(param="2"))
    assert (await me.view("f")).param == "1"


async def test_an_ended_flow_may_be_amended_and_stays_ended(me: Driver) -> None:
    flow = await me.run("f")
    await me.record(effect(flow, "a"))
    await me.end(flow, Status.FAILED, error="e")
    assert await amend(me, "f", param="2", forgets=("a",))
    view = await me.view("f")
    assert (view.status, view.param, view.error) == (Status.FAILED, "2", "e")
    assert await me.keys(flow) == []


# restarts


@pytest.mark.parametrize("status", ENDS)
async def test_a_restarted_flow_is_due_now_as_if_it_had_not_ended(
    me: Driver, clock: FakeClock, status: Status
) -> None:
    flow = await me.run("f", param="1", code=3, depth=2)
    await me.record(effect(flow, "a"))
    await me.end(flow, status, body="1", type="int", error="e")
    await clock.advance(10)
    assert await amend(me, "f", restarts=True)
    view = await me.view("f")
    assert (view.status, view.owner, view.due_at) == (Status.LIVE, None, clock.now())
    assert (view.ended_at, view.error, view.failures, view.cancel) == (None, None, 0, False)
    outcome = await me.store.find("t", "f")
    assert outcome is not None
    assert (outcome.body, outcome.type, outcome.error) == (None, None, None)
    (claimed,) = (await me.claim()).claimed
    assert (claimed.flow, claimed.incarnation, claimed.param) == (flow, 2, "1")
    assert (claimed.code, claimed.depth, claimed.crashes) == (3, 2, 0)
    assert [one.key for one in claimed.effects] == ["a"]
    assert (await me.end(flow, incarnation=2, body="2")).answer is Answer.ACCEPTED


async def test_a_restart_may_bring_other_arguments(me: Driver) -> None:
    flow = await me.run("f", param="1")
    await me.record(effect(flow, "a"), effect(flow, "b"))
    await me.end(flow, Status.FAILED)
    assert await amend(me, "f", param="2", forgets=("b",), restarts=True)
    (claimed,) = (await me.claim()).claimed
    assert claimed.param == "2"
    assert [one.key for one in claimed.effects] == ["a"]


async def test_a_restart_forgets_where_the_flow_failed(me: Driver) -> None:
    flow = await me.run("f")
    kept, gone = ("a", "pay#2", "payed"), ("pay", "pay.1", "pay/inner", "pay/inner.1", "b")
    await me.record(*(effect(flow, key) for key in (*kept, *gone)))
    await me.end(flow, Status.FAILED, error="e", failed_at=("pay", "b", "gone already"))
    assert set(await me.keys(flow)) == {*kept, *gone}, "not before the restart"
    assert await amend(me, "f", restarts=True)
    assert set(await me.keys(flow)) == set(kept)


async def test_what_may_begin_once_stays(me: Driver) -> None:
    flow = await me.run("f")
    keys = ("once", "once.begun", "once/x", "many", "many.1", "begun", "x.begunx", "x")
    await me.record(*(effect(flow, key) for key in keys))
    await me.end(flow, Status.FAILED, failed_at=("once", "many", "begun", "x"))
    assert await amend(me, "f", restarts=True)
    assert set(await me.keys(flow)) == {"once", "once.begun", "once/x"}


async def test_where_it_failed_is_forgotten_once(me: Driver) -> None:
    flow = await me.run("f")
    await me.end(flow, Status.FAILED, failed_at=("pay",))
    await amend(me, "f", restarts=True)
    await me.claim()
    await me.record(effect(flow, "pay", incarnation=2))
    await me.suspend(flow, incarnation=2)
    await amend(me, "f", restarts=True)
    assert await me.keys(flow) == ["pay"], "it has not failed again"


async def test_a_restart_takes_the_cancel_back(me: Driver) -> None:
    flow = await me.run("f")
    await me.send("f", "a")
    await me.cancel("f")
    await me.record(effect(flow, "sleep.cancel", kind=Kind.CANCEL, consumes=(2,)))
    await me.end(flow, Status.CANCELLED)
    assert await amend(me, "f", restarts=True)
    assert not (await me.view("f")).cancel
    (claimed,) = (await me.claim()).claimed
    assert claimed.effects == ()
    assert [message.key for message in claimed.messages] == ["a"]
    await me.cancel("f")
    assert await me.inbox(flow) == ("a", "~cancel"), "it can be asked again"
    assert (await me.view("f")).cancel


async def test_a_restart_takes_back_a_cancel_that_nobody_read(me: Driver) -> None:
    flow = await me.run("f")
    await me.cancel("f")
    await me.end(flow, Status.FAILED)
    assert await amend(me, "f", restarts=True)
    (claimed,) = (await me.claim()).claimed
    assert claimed.messages == ()
    assert (await me.end(flow, incarnation=2)).answer is Answer.ACCEPTED


async def test_a_live_flow_may_be_restarted_too(me: Driver) -> None:
    flow = await me.run("f")
    await me.record(effect(flow, "a"))
    await me.suspend(flow)
    assert await amend(me, "f", restarts=True)
    (claimed,) = (await me.claim()).claimed
    assert [one.key for one in claimed.effects] == ["a"]


async def test_a_restart_frees_a_flow_parked_as_poison(
    me: Driver, other: Driver, door: Door
) -> None:
    flow = await me.run("f")
    door.delete_replica("me")
    await other.claim(dead=("me",), poison_after=1)
    await other.store.register("third")
    door.delete_replica("other")
    third = Driver(other.store, "third")
    parked = (await third.claim(dead=("other",), poison_after=1, poison="p")).parked
    assert parked == (flow,)
    assert await amend(third, "f", restarts=True)
    (claimed,) = (await third.claim(poison_after=1)).claimed
    assert claimed.crashes == 0


async def test_state_and_correlations_stay(me: Driver) -> None:
    flow = await me.run("f")
    await me.commit(states=(Publish(flow.number, 1, "1", None),))
    await me.change(Correlate(flow, 1, "c"))
    await me.end(flow, Status.FAILED)
    await amend(me, "f", restarts=True)
    assert await me.store.read_state("t", "f") == State("1", None)
    assert await me.store.correlated("t", "c") == (flow,)


# parents of a restarted flow


async def child_of(me: Driver, *parents: Parent) -> FlowRef:
    flow = await me.run("c", parent=parents[0])
    for parent in parents[1:]:
        await me.start("c", parent=parent)
    return flow


async def test_news_of_the_former_end_are_taken_back_if_nobody_read_them(me: Driver) -> None:
    read, unread = Parent(await me.run("p"), "~c"), Parent(await me.run("q"), "~c")
    child = await child_of(me, read, unread)
    await me.send("q", "kept")
    await me.end(child, Status.FAILED, parents=(read, unread), told=TOLD)
    await me.record(effect(read.flow, "c", consumes=(1,)))
    assert await amend(me, "c", restarts=True)
    assert await me.inbox(unread.flow) == ("kept",)
    assert (await me.view("c")).parents == (read, unread)
    await me.claim()
    ended = await me.end(child, parents=(read, unread), told=TOLD, incarnation=2)
    assert [told.deliveries[0].value for told in ended.told] == ["duplicate", "accepted"]
    assert await me.inbox(read.flow) == (), "the first outcome stays"
    assert await me.inbox(unread.flow) == ("kept", "~c")


@pytest.mark.parametrize("status", [Status.LIVE, Status.PARKED])
async def test_who_told_nobody_takes_nothing_back(me: Driver, status: Status) -> None:
    parent = Parent(await me.run("p"), "~c")
    child = await child_of(me, parent)
    await me.send("p", "~c")
    if status is Status.LIVE:
        await me.suspend(child)
    else:
        await me.end(child, status)
    assert await amend(me, "c", restarts=True)
    assert await me.inbox(parent.flow) == ("~c",)


async def test_damaged_parents_refuse_a_restart_and_change_nothing(me: Driver, door: Door) -> None:
    flow = await me.run("f", param="1")
    version = (await me.view("f")).version
    await me.end(flow, Status.FAILED)
    door.damage_parents(flow)
    with pytest.raises(StoreCorrupt):
        await me.store.amend(flow.number, version + 1, Amendment(param="2", restarts=True))
    outcome = await me.store.find("t", "f")
    assert outcome is not None
    assert outcome.status is Status.FAILED


# parked because the code did not fit


async def test_mendable_flows_try_again(me: Driver, clock: FakeClock) -> None:
    flows = [await me.run(name) for name in "ab"]
    for flow in flows:
        await me.record(effect(flow, "a"))
        await me.end(flow, Status.PARKED, error="mismatch", mendable=True)
    assert await me.store.mend(["t", "unknown"]) == 2
    view = await me.view("a")
    assert (view.status, view.due_at, view.ended_at) == (Status.LIVE, clock.now(), None)
    assert view.error is None
    claimed = (await me.claim()).claimed
    assert [one.flow for one in claimed] == flows
    assert [effect.key for one in claimed for effect in one.effects] == ["a", "a"]
    assert await me.store.mend(["t"]) == 0


async def test_what_is_not_mendable_or_of_another_type_stays(me: Driver) -> None:
    await me.end(await me.run("poison"), Status.PARKED)
    await me.end(await me.run("foreign", type="u"), Status.PARKED, mendable=True)
    await me.end(await me.run("failed"), Status.FAILED, mendable=True)
    await me.end(await me.run("done"), Status.DONE, mendable=True)
    await me.suspend(await me.run("live"))
    assert await me.store.mend(["t"]) == 0
    assert await me.store.mend([]) == 0
    assert (await me.view("poison")).status is Status.PARKED
    assert (await me.view("failed")).status is Status.FAILED
    assert (await me.view("foreign", type="u")).status is Status.PARKED


@pytest.mark.parametrize("verb", ["mend", "amend"])
async def test_a_mendable_flow_that_is_parked_as_poison_later_is_not_mended(
    me: Driver, other: Driver, door: Door, verb: str
) -> None:
    flow = await me.run("f")
    await me.end(flow, Status.PARKED, mendable=True)
    if verb == "mend":
        assert await me.store.mend(["t"]) == 1
    else:
        assert await amend(me, "f", restarts=True)
    assert await me.store.mend(["t"]) == 0
    await me.claim()
    door.delete_replica("me")
    await other.claim(dead=("me",), poison_after=1)
    door.delete_replica("other")
    await other.store.register("third")
    third = Driver(other.store, "third")
    assert (await third.claim(dead=("other",), poison_after=1)).parked == (flow,)
    assert await third.store.mend(["t"]) == 0


async def test_mending_counts_the_version_and_keeps_the_cancel(me: Driver) -> None:
    flow = await me.run("f")
    await me.cancel("f")
    await me.end(flow, Status.PARKED, mendable=True)
    before = await me.view("f")
    await me.store.mend(["t"])
    view = await me.view("f")
    assert (view.version, view.cancel) == (before.version + 1, True)
