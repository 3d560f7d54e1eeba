"""Ends: accepted once, never against a cancel or an unknown parent, told to each parent once."""

import pytest

from tests.stores.clock import FakeClock
from tests.stores.conftest import Door
from tests.stores.driver import Driver, note
from unbroken.model.records import Delivery, Outcome, Parent, Status
from unbroken.stores.batch import Answer, Appended, Changed, End, Suspend

TOLD = note("replaced by the parent's key", '{"done":1}')
ALL_BUT_PARKED = [Status.DONE, Status.FAILED, Status.CANCELLED]


@pytest.mark.parametrize("status", [*ALL_BUT_PARKED, Status.PARKED])
async def test_an_end_is_final(me: Driver, clock: FakeClock, status: Status) -> None:
    flow = await me.run("f")
    ended = await me.end(flow, status, body="1", type="int", error="e")
    assert ended == Changed(Answer.ACCEPTED)
    assert await me.store.find("t", "f") == Outcome(flow, status, "1", "int", "e")
    view = await me.store.view("t", "f")
    assert view is not None
    assert (view.owner, view.due_at, view.ended_at) == (None, None, clock.now())
    assert (await me.end(flow, Status.DONE)).answer is Answer.REFUSED
    assert (await me.claim()).claimed == ()
    assert await me.store.owned("me") == {}


async def test_done_is_refused_after_a_cancel_was_asked(me: Driver, door: Door) -> None:
    flow = await me.run("f")
    door.ask_cancel(flow)
    assert await me.end(flow) == Changed(Answer.MOVED, inbox=1, cancel=True)
    assert await me.store.owned("me") == {flow.number: 1}


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.PARKED])
async def test_other_ends_pass_after_a_cancel_was_asked(
    me: Driver, door: Door, status: Status
) -> None:
    flow = await me.run("f")
    door.ask_cancel(flow)
    assert (await me.end(flow, status)).answer is Answer.ACCEPTED


async def test_a_message_does_not_refuse_an_end(me: Driver) -> None:
    flow = await me.run("f")
    await me.send("f", "a")
    assert (await me.end(flow)).answer is Answer.ACCEPTED


@pytest.mark.parametrize("status", ALL_BUT_PARKED)
async def test_an_end_that_does_not_know_all_parents_is_refused_and_tells_them(
    me: Driver, other: Driver, status: Status
) -> None:
    parent = Parent(await other.run("p"), "child")
    flow = await me.run("f")
    await other.start("f", parent=parent)
    moved = await me.end(flow, status, told=TOLD)
    assert moved == Changed(Answer.MOVED, parents=(parent,))
    ended = await me.end(flow, status, parents=(parent,), told=TOLD)
    assert ended.answer is Answer.ACCEPTED
    assert [told.deliveries for told in ended.told] == [(Delivery.ACCEPTED,)]


async def test_each_parent_is_told_under_its_own_key(me: Driver, other: Driver) -> None:
    mine, theirs = Parent(await me.run("p"), "a"), Parent(await other.run("q"), "b")
    flow = await me.run("f", parent=mine)
    await other.start("f", parent=theirs)
    ended = await me.end(flow, parents=(mine, theirs), told=TOLD)
    assert [told.owner for told in ended.told] == ["me", "other"]
    assert [told.positions for told in ended.told] == [(1,), (1,)]
    for parent in (mine, theirs):
        inbox = await me.store.read_inbox(parent.flow.number)
        assert inbox is not None
        (message,) = inbox.messages
        assert (message.key, message.type, message.body) == (parent.key, "Note", '{"done":1}')


async def test_parents_in_another_order_are_the_same_parents(me: Driver) -> None:
    first, second = Parent(await me.run("p"), "a"), Parent(await me.run("q"), "b")
    flow = await me.run("f", parent=first)
    await me.start("f", parent=second)
    ended = await me.end(flow, parents=(second, first), told=TOLD)
    assert ended.answer is Answer.ACCEPTED
    assert [told.flow for told in ended.told] == [second.flow, first.flow]


async def test_a_waiting_parent_becomes_due(me: Driver) -> None:
    waiting = await me.run("p")
    parent = Parent(waiting, "child")
    flow = await me.run("f", parent=parent)
    await me.suspend(waiting)
    await me.end(flow, parents=(parent,), told=TOLD)
    (claimed,) = (await me.claim()).claimed
    assert claimed.flow == waiting
    assert [message.key for message in claimed.messages] == ["child"]


async def test_a_refused_end_tells_nobody(me: Driver, door: Door) -> None:
    parent = Parent(await me.run("p"), "child")
    flow = await me.run("f", parent=parent)
    door.ask_cancel(flow)
    assert (await me.end(flow, parents=(parent,), told=TOLD)).answer is Answer.MOVED
    assert (await me.end(flow, parents=(parent,), told=TOLD, incarnation=2)).told == ()
    inbox = await me.store.read_inbox(parent.flow.number)
    assert inbox is not None
    assert (inbox.counter, inbox.messages) == (0, ())


@pytest.mark.parametrize("knows", [False, True])
async def test_a_parked_flow_tells_nobody_and_keeps_its_parents(
    me: Driver, door: Door, knows: bool
) -> None:
    parent = Parent(await me.run("p"), "child")
    known = (parent,) if knows else ()
    flow = await me.run("f", parent=parent)
    before = door.parents(flow)
    ended = await me.end(flow, Status.PARKED, parents=known, error="stuck", told=TOLD)
    assert ended == Changed(Answer.ACCEPTED)
    assert door.parents(flow) == before
    inbox = await me.store.read_inbox(parent.flow.number)
    assert inbox is not None
    assert inbox.messages == ()


async def test_a_parent_that_is_gone_or_has_ended_does_not_hold_up_the_end(me: Driver) -> None:
    ended, gone = await me.run("ended"), await me.run("gone")
    parents = (Parent(ended, "a"), Parent(gone, "b"))
    flow = await me.run("f", parent=parents[0])
    await me.start("f", parent=parents[1])
    await me.end(ended)
    await me.end(gone)
    assert await me.store.delete_flow("t", "gone")
    await me.run("gone")  # another flow with the same id is not the parent
    answer = await me.end(flow, parents=parents, told=TOLD)
    assert answer.answer is Answer.ACCEPTED
    assert [told.deliveries for told in answer.told] == [
        (Delivery.FLOW_ENDED,),
        (Delivery.NO_SUCH_FLOW,),
    ]


async def test_a_parked_parent_is_told_and_not_woken(me: Driver, other: Driver) -> None:
    above = await me.run("p")
    parent = Parent(above, "child")
    flow = await other.run("f", parent=parent)
    await me.end(above, Status.PARKED, mendable=True)
    ended = await other.end(flow, parents=(parent,), told=TOLD)
    assert ended.told == (Appended((Delivery.ACCEPTED,), (1,), above),)
    view = await me.view("p")
    assert (view.status, view.due_at) == (Status.PARKED, None)
    assert await me.store.delete_flow("t", "f")
    await me.store.mend(["t"])
    (claimed,) = (await me.claim()).claimed
    assert [message.key for message in claimed.messages] == ["child"], "although it is deleted"


async def test_a_child_that_ended_is_told_once(me: Driver) -> None:
    parent = Parent(await me.run("p"), "child")
    for name in ("f", "g"):
        flow = await me.run(name, parent=parent)
        answer = await me.end(flow, parents=(parent,), told=TOLD)
        expected = Delivery.ACCEPTED if name == "f" else Delivery.DUPLICATE
        assert answer.told[0].deliveries == (expected,)


async def test_a_parent_suspended_before_the_end_in_one_batch_is_due(me: Driver) -> None:
    waiting = await me.run("p")
    parent = Parent(waiting, "child")
    flow = await me.run("f", parent=parent)
    end = End(flow, 1, Status.DONE, parents=(parent,), told=TOLD)
    await me.commit(changes=(Suspend(waiting, 1, 0, None), end))
    assert [one.flow for one in (await me.claim()).claimed] == [waiting]


async def test_a_damaged_row_parks_its_flow_when_its_end_meets_it(me: Driver, door: Door) -> None:
    flow = await me.run("f")
    door.damage_parents(flow)
    assert (await me.end(flow)).answer is Answer.REFUSED
    outcome = await me.store.find("t", "f")
    assert outcome is not None
    assert outcome.status is Status.PARKED
