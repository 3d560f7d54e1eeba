"""A cancel that is asked for: it stays asked, wakes who waits, and lets nothing end as done."""

import pytest

from tests.stores.clock import SECOND, FakeClock
from tests.stores.driver import Driver, effect, note
from unbroken.model.records import Delivery, Status
from unbroken.stores.batch import Answer, Append, Appended, Changed, Continue, Retry
from unbroken.stores.store import Amendment


async def test_a_cancel_is_seen_and_told_to_its_owner(me: Driver, other: Driver) -> None:
    flow = await me.run("f")
    assert not (await me.view("f")).cancel
    asked = await other.cancel("f")
    assert (asked.deliveries, asked.owner) == ((Delivery.ACCEPTED,), "me")
    assert (await me.view("f")).cancel
    assert (await me.store.poll("me", ["t"], [])).moved == (flow.number,)
    assert await me.suspend(flow) == Changed(Answer.MOVED, inbox=1, cancel=True)


async def test_a_cancel_wakes_a_waiting_flow(me: Driver, clock: FakeClock) -> None:
    flow = await me.run("f")
    await me.suspend(flow, due_at=clock.now() + 10 * SECOND)
    await me.cancel("f")
    (claimed,) = (await me.claim()).claimed
    assert [message.key for message in claimed.messages] == ["~cancel"]


async def test_done_is_refused_and_every_other_end_is_not(me: Driver) -> None:
    flow = await me.run("f")
    await me.cancel("f")
    assert await me.end(flow) == Changed(Answer.MOVED, inbox=1, cancel=True)
    assert (await me.end(flow, Status.CANCELLED)).answer is Answer.ACCEPTED
    assert (await me.view("f")).status is Status.CANCELLED


async def test_neither_a_retry_nor_a_new_beginning_escapes_a_cancel(me: Driver) -> None:
    flow = await me.run("f", param="1")
    await me.record(effect(flow, "e"))
    await me.cancel("f")
    before = await me.view("f")
    moved = Changed(Answer.MOVED, inbox=1, cancel=True)
    assert await me.change(Retry(flow, 1, "error", 0, ("e",))) == moved
    assert await me.change(Continue(flow, 1, "2")) == moved
    assert await me.view("f") == before
    assert await me.keys(flow) == ["e"]


async def test_a_second_cancel_is_a_duplicate_and_changes_nothing_more(me: Driver) -> None:
    flow = await me.run("f")
    await me.cancel("f")
    again = await me.cancel("f")
    assert again.deliveries == (Delivery.DUPLICATE,)
    assert await me.inbox(flow) == ("~cancel",)
    assert (await me.view("f")).cancel


async def test_a_cancel_is_not_taken_back_by_other_messages(me: Driver) -> None:
    await me.run("f")
    await me.cancel("f")
    await me.send("f", "a")
    assert (await me.view("f")).cancel


@pytest.mark.parametrize("status", [Status.DONE, Status.FAILED, Status.CANCELLED])
async def test_an_ended_flow_cannot_be_cancelled(me: Driver, status: Status) -> None:
    flow = await me.run("f")
    await me.end(flow, status)
    assert (await me.cancel("f")).deliveries == (Delivery.FLOW_ENDED,)
    assert not (await me.view("f")).cancel


async def test_a_parked_flow_is_cancelled_when_it_goes_on(me: Driver) -> None:
    flow = await me.run("f")
    await me.end(flow, Status.PARKED, mendable=True)
    assert (await me.cancel("f")).deliveries == (Delivery.ACCEPTED,)
    assert (await me.cancel("f")).deliveries == (Delivery.DUPLICATE,)
    parked = await me.view("f")
    assert (parked.status, parked.due_at, parked.cancel) == (Status.PARKED, None, True)
    await me.store.mend(["t"])
    assert (await me.view("f")).cancel
    (claimed,) = (await me.claim()).claimed
    assert [message.key for message in claimed.messages] == ["~cancel"]
    assert (await me.end(flow, incarnation=2)).answer is Answer.MOVED
    assert (await me.end(flow, Status.CANCELLED, incarnation=2)).answer is Answer.ACCEPTED


async def test_a_restart_takes_back_the_cancel_of_a_parked_flow(me: Driver) -> None:
    flow = await me.run("f")
    await me.end(flow, Status.PARKED, mendable=True)
    await me.send("f", "a")
    await me.cancel("f")
    version = (await me.view("f")).version
    assert await me.store.amend(flow.number, version, Amendment(restarts=True))
    assert not (await me.view("f")).cancel
    (claimed,) = (await me.claim()).claimed
    assert [message.key for message in claimed.messages] == ["a"]


async def test_an_absent_flow_cannot_be_cancelled(me: Driver) -> None:
    assert (await me.cancel("f")).deliveries == (Delivery.NO_SUCH_FLOW,)


async def test_a_cancel_reaches_a_flow_that_never_ran(me: Driver, clock: FakeClock) -> None:
    await me.start("f", due_at=clock.now() + 10 * SECOND)
    await me.cancel("f")
    assert len((await me.claim()).claimed) == 1


async def test_a_cancel_may_come_with_other_messages(me: Driver) -> None:
    flow = await me.run("f")
    append = Append("t", "f", (note("a"), note("~cancel"), note("b")), cancels=True)
    (appended,) = (await me.commit(changes=(append,))).changed
    assert isinstance(appended, Appended)
    assert appended.positions == (1, 2, 3)
    assert await me.inbox(flow) == ("a", "~cancel", "b")
    assert (await me.view("f")).cancel
