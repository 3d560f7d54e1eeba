"""Giving a flow back: refused if its inbox moved, so that no wake-up is lost."""

import pytest

from tests.stores.clock import SECOND, FakeClock
from tests.stores.conftest import Door
from tests.stores.driver import Driver, effect, note
from unbroken.model.records import Parent, Status
from unbroken.stores.batch import Acknowledge, Answer, Append, Appended, Changed, Suspend


async def test_a_suspended_flow_waits_without_owner(me: Driver) -> None:
    flow = await me.run("f")
    assert await me.suspend(flow) == Changed(Answer.ACCEPTED)
    view = await me.store.view("t", "f")
    assert view is not None
    assert (view.status, view.owner, view.due_at) == (Status.LIVE, None, None)
    assert await me.store.owned("me") == {}


async def test_a_suspended_flow_is_claimable_at_its_time_and_not_before(
    me: Driver, clock: FakeClock
) -> None:
    await me.suspend(await me.run("f"), due_at=clock.now() + 10 * SECOND)
    await clock.advance(9.999)
    assert (await me.claim()).claimed == ()
    await clock.advance(0.001)
    (claimed,) = (await me.claim()).claimed
    assert claimed.incarnation == 2


async def test_a_time_that_passed_meanwhile_is_due_at_once(me: Driver, clock: FakeClock) -> None:
    await me.suspend(await me.run("f"), due_at=clock.now() - SECOND)
    assert len((await me.claim()).claimed) == 1


async def test_suspension_is_refused_if_the_inbox_moved(me: Driver, other: Driver) -> None:
    flow = await me.run("f")
    await other.send("f", "a")
    assert await me.suspend(flow, seen=0) == Changed(Answer.MOVED, inbox=1)
    assert await me.store.owned("me") == {flow.number: 1}
    assert (await me.suspend(flow, seen=1)).answer is Answer.ACCEPTED


async def test_seen_is_the_counter_and_not_the_last_position(me: Driver, other: Driver) -> None:
    flow = await me.run("f")
    await other.send("f", "a", "a")
    assert await me.suspend(flow, seen=1) == Changed(Answer.MOVED, inbox=2)
    assert (await me.suspend(flow, seen=2)).answer is Answer.ACCEPTED


async def test_a_message_under_ones_own_replica_refuses_the_suspension_too(me: Driver) -> None:
    flow = await me.run("f")
    await me.send("f", "a")
    assert (await me.suspend(flow, seen=0)).answer is Answer.MOVED


async def test_a_cancel_refuses_the_suspension_and_is_told(me: Driver, door: Door) -> None:
    flow = await me.run("f")
    door.ask_cancel(flow)
    assert await me.suspend(flow) == Changed(Answer.MOVED, inbox=1, cancel=True)


async def test_a_refusal_tells_the_parents(me: Driver) -> None:
    parent = Parent(await me.run("p"), "child")
    flow = await me.run("f", parent=parent)
    await me.send("f", "a")
    assert (await me.suspend(flow)).parents == (parent,)


async def test_a_suspension_queued_before_an_append_leaves_the_flow_due(me: Driver) -> None:
    flow = await me.run("f")
    append = Append("t", "f", (note("a"),))
    suspended, appended = (await me.commit(changes=(Suspend(flow, 1, 0, None), append))).changed
    assert suspended == Changed(Answer.ACCEPTED)
    assert isinstance(appended, Appended)
    assert appended.owner is None
    assert len((await me.claim()).claimed) == 1


async def test_a_suspension_queued_after_an_append_is_refused(me: Driver) -> None:
    flow = await me.run("f")
    append = Append("t", "f", (note("a"),))
    _, suspended = (await me.commit(changes=(append, Suspend(flow, 1, 0, None)))).changed
    assert suspended == Changed(Answer.MOVED, inbox=1)


@pytest.mark.parametrize("verb", ["suspend", "release", "end", "acknowledge"])
async def test_who_does_not_own_this_incarnation_is_refused(
    me: Driver, other: Driver, verb: str
) -> None:
    async def attempt(driver: Driver, incarnation: int) -> Answer:
        if verb == "acknowledge":
            return (await driver.change(Acknowledge(flow, incarnation, 0))).answer
        return (await getattr(driver, verb)(flow, incarnation=incarnation)).answer

    flow = await me.run("f")
    before = await me.store.view("t", "f")
    assert await attempt(other, 1) is Answer.REFUSED
    assert await attempt(me, 2) is Answer.REFUSED
    assert await me.store.view("t", "f") == before
    assert await attempt(me, 1) is Answer.ACCEPTED
    if verb != "acknowledge":
        assert await attempt(me, 1) is Answer.REFUSED, "once is enough"


async def test_a_released_flow_is_due_now_whatever_its_inbox_holds(
    me: Driver, other: Driver, clock: FakeClock
) -> None:
    flow = await me.run("f")
    await other.send("f", "a")
    assert await me.release(flow) == Changed(Answer.ACCEPTED)
    view = await me.store.view("t", "f")
    assert view is not None
    assert (view.owner, view.due_at) == (None, clock.now())
    (claimed,) = (await other.claim()).claimed
    assert claimed.incarnation == 2


async def test_a_clean_stop_hands_everything_over_at_once(me: Driver, other: Driver) -> None:
    flow = await me.run("f")
    await me.record(effect(flow, "a"))
    await me.release(flow)
    await me.commit(last=True)
    (claimed,) = (await other.claim()).claimed
    assert (claimed.flow, claimed.crashes) == (flow, 0)
    assert [one.key for one in claimed.effects] == ["a"]


async def test_each_change_counts_the_version(me: Driver) -> None:
    async def version() -> int:
        view = await me.store.view("t", "f")
        assert view is not None
        return view.version

    flow = await me.run("f")
    assert await version() == 1
    await me.change(Acknowledge(flow, 1, 0))
    assert await version() == 2
    await me.suspend(flow, due_at=0)
    assert await version() == 3
    await me.claim()
    assert await version() == 4
    await me.release(flow, incarnation=2)
    assert await version() == 5
    await me.claim()
    await me.end(flow, incarnation=3)
    assert await version() == 7
