"""Messages: appended once per key, counted each time, never lost on a waiting flow."""

import pytest
from msgspec.structs import replace

from tests.stores.clock import SECOND, FakeClock
from tests.stores.conftest import Door
from tests.stores.driver import Driver, effect, note
from unbroken.model.records import Delivery, Message, Status
from unbroken.stores.batch import Answer, Append, Appended, Changed, Start
from unbroken.stores.store import Amendment, Store


async def test_messages_come_back_in_order_with_the_stores_time(
    me: Driver, clock: FakeClock
) -> None:
    flow = await me.run("f")
    appended = await me.send("f", "b", "a")
    assert appended.deliveries == (Delivery.ACCEPTED, Delivery.ACCEPTED)
    assert appended.positions == (1, 2)
    assert (appended.flow, appended.owner) == (flow, "me")
    inbox = await me.store.read_inbox(flow.number)
    assert inbox is not None
    assert inbox.counter == 2
    at = clock.now()
    assert inbox.messages == (
        Message(1, "b", "Note", '"hello"', at),
        Message(2, "a", "Note", '"hello"', at),
    )


async def test_a_key_is_one_message_however_often_it_is_sent(me: Driver) -> None:
    flow = await me.run("f")
    appended = await me.send("f", "a", "b", "a")
    assert appended.deliveries == (Delivery.ACCEPTED, Delivery.ACCEPTED, Delivery.DUPLICATE)
    assert appended.positions == (1, 2)
    again = await me.send("f", "a", "c")
    assert again.deliveries == (Delivery.DUPLICATE, Delivery.ACCEPTED)
    assert again.positions == (5,)
    inbox = await me.store.read_inbox(flow.number)
    assert inbox is not None
    assert inbox.counter == 5, "each one counts, duplicates too"
    assert [message.key for message in inbox.messages] == ["a", "b", "c"]


async def test_a_key_is_remembered_after_its_message_was_consumed(me: Driver) -> None:
    flow = await me.run("f")
    await me.send("f", "a")
    await me.record(effect(flow, "wait", consumes=(1,)))
    assert (await me.send("f", "a")).deliveries == (Delivery.DUPLICATE,)
    inbox = await me.store.read_inbox(flow.number)
    assert inbox is not None
    assert inbox.messages == ()


async def test_the_first_of_two_equal_keys_wins(me: Driver) -> None:
    flow = await me.run("f")
    append = Append("t", "f", (note("a", "1"), note("a", "2")))
    await me.commit(changes=(append,))
    inbox = await me.store.read_inbox(flow.number)
    assert inbox is not None
    assert [message.body for message in inbox.messages] == ["1"]


async def test_keys_of_two_flows_do_not_meet(me: Driver) -> None:
    await me.run("f")
    await me.run("g")
    assert (await me.send("f", "a")).deliveries == (Delivery.ACCEPTED,)
    assert (await me.send("g", "a")).deliveries == (Delivery.ACCEPTED,)


async def test_a_message_for_nobody_says_so(me: Driver) -> None:
    assert await me.send("f", "a", "b") == Appended((Delivery.NO_SUCH_FLOW,) * 2)
    await me.run("f", type="other type")
    assert (await me.send("f", "a")).deliveries == (Delivery.NO_SUCH_FLOW,)


@pytest.mark.parametrize("status", [Status.DONE, Status.FAILED, Status.CANCELLED])
async def test_a_message_for_an_ended_flow_says_so_and_changes_nothing(
    me: Driver, status: Status
) -> None:
    flow = await me.run("f")
    await me.end(flow, status)
    before = await me.store.view("t", "f")
    appended = await me.send("f", "a")
    assert (appended.deliveries, appended.positions) == ((Delivery.FLOW_ENDED,), ())
    assert appended.flow == flow
    assert await me.store.view("t", "f") == before
    inbox = await me.store.read_inbox(flow.number)
    assert inbox is not None
    assert inbox.messages == ()


async def test_a_parked_flow_takes_messages_and_is_not_woken(
    me: Driver, other: Driver, clock: FakeClock
) -> None:
    flow = await me.run("f")
    await me.send("f", "a")
    await me.end(flow, Status.PARKED, error="stuck", mendable=True)
    before = await me.view("f")
    appended = await other.send("f", "b", "a", "c")
    assert appended.deliveries == (Delivery.ACCEPTED, Delivery.DUPLICATE, Delivery.ACCEPTED)
    assert (appended.positions, appended.flow, appended.owner) == ((2, 4), flow, None)
    assert (await other.send("f", "c")).deliveries == (Delivery.DUPLICATE,)
    after = await me.view("f")
    assert after == replace(before, inbox=5, version=before.version + 2)
    assert await me.inbox(flow) == ("a", "b", "c")
    await clock.advance(3600)
    found = await me.store.poll("me", ["t"], [flow.number])
    assert (found.next_due, found.moved) == (None, ())
    assert [outcome.status for outcome in found.ended] == [Status.PARKED]
    assert (await me.claim(dead=("me",))).claimed == ()


async def test_a_mended_flow_finds_what_came_while_it_was_parked(me: Driver, other: Driver) -> None:
    flow = await me.run("f")
    await me.end(flow, Status.PARKED, mendable=True)
    await other.send("f", "a", "b")
    assert await me.store.mend(["t"]) == 1
    (claimed,) = (await other.claim()).claimed
    assert [message.key for message in claimed.messages] == ["a", "b"]
    assert claimed.inbox == 2
    assert (await other.store.poll("other", ["t"], [])).moved == ()
    assert await other.suspend(flow, seen=2, incarnation=2) == Changed(Answer.ACCEPTED)


async def test_a_restarted_flow_finds_what_came_while_it_was_parked(me: Driver) -> None:
    flow = await me.run("f")
    await me.end(flow, Status.PARKED)
    seen = await me.view("f")
    await me.send("f", "a")
    restart = Amendment(restarts=True)
    assert not await me.store.amend(flow.number, seen.version, restart), "its inbox moved"
    assert await me.store.amend(flow.number, seen.version + 1, restart)
    (claimed,) = (await me.claim()).claimed
    assert [message.key for message in claimed.messages] == ["a"]


async def test_a_flow_parked_as_poison_takes_messages(
    me: Driver, other: Driver, door: Door
) -> None:
    flow = await me.run("f")
    await me.send("f", "a")
    door.delete_replica("me")
    await other.claim(dead=("me",))
    await other.store.register("third")
    door.delete_replica("other")
    third = Driver(other.store, "third")
    assert (await third.claim(dead=("other",), poison_after=1)).parked == (flow,)
    assert (await third.send("f", "a", "b")).deliveries == (Delivery.DUPLICATE, Delivery.ACCEPTED)
    assert await third.inbox(flow) == ("a", "b")
    assert (await third.view("f")).due_at is None


async def test_a_message_with_a_start_reaches_a_flow_that_is_parked(me: Driver) -> None:
    flow = await me.run("f")
    await me.end(flow, Status.PARKED)
    append = Append("t", "f", (note("a"),))
    receipt = await me.commit(starts=(Start("t", "f", "{}"),), changes=(append,))
    assert receipt.changed == (Appended((Delivery.ACCEPTED,), (1,), flow),)
    assert [started.created for started in receipt.started] == [False]
    view = await me.view("f")
    assert (view.status, view.due_at) == (Status.PARKED, None)


async def test_a_message_makes_a_waiting_flow_due(me: Driver, clock: FakeClock) -> None:
    await me.suspend(await me.run("f"))
    assert (await me.claim()).claimed == ()
    appended = await me.send("f", "a")
    assert appended.owner is None
    (claimed,) = (await me.claim()).claimed
    assert [message.key for message in claimed.messages] == ["a"]
    assert claimed.inbox == 1


async def test_a_message_wakes_a_flow_before_its_time(me: Driver, clock: FakeClock) -> None:
    await me.suspend(await me.run("f"), due_at=clock.now() + 60 * SECOND)
    await me.send("f", "a")
    view = await me.store.view("t", "f")
    assert view is not None
    assert view.due_at == clock.now()


async def test_a_message_does_not_put_off_a_flow_that_is_due(me: Driver, clock: FakeClock) -> None:
    await me.start("f")
    since = clock.now()
    await clock.advance(10)
    await me.send("f", "a")
    view = await me.store.view("t", "f")
    assert view is not None
    assert view.due_at == since


async def test_a_duplicate_makes_a_waiting_flow_due_too(me: Driver) -> None:
    flow = await me.run("f")
    await me.send("f", "a")
    await me.record(effect(flow, "wait", consumes=(1,)))
    await me.suspend(flow, seen=1)
    await me.send("f", "a")
    assert len((await me.claim()).claimed) == 1


async def test_a_message_does_not_make_an_owned_flow_due(me: Driver, other: Driver) -> None:
    await me.run("f")
    await other.send("f", "a")
    assert (await other.claim()).claimed == ()


async def test_each_append_changes_the_version(me: Driver) -> None:
    await me.run("f")
    before = await me.store.view("t", "f")
    await me.send("f", "a")
    after = await me.store.view("t", "f")
    assert before is not None
    assert after is not None
    assert after.version == before.version + 1


async def test_a_flow_and_its_first_messages_are_one_transaction(me: Driver) -> None:
    append = Append("t", "f", (note("a"),))
    receipt = await me.commit(starts=(Start("t", "f", "{}"),), changes=(append,))
    assert receipt.changed == (Appended((Delivery.ACCEPTED,), (1,), receipt.started[0].flow),)
    (claimed,) = (await me.claim()).claimed
    assert len(claimed.messages) == 1


async def test_appends_to_many_flows_go_in_one_batch(me: Driver) -> None:
    flows = [await me.run(f"f{number}") for number in range(20)]
    appends = tuple(Append("t", flow.id, (note("a"), note("b"))) for flow in flows)
    receipt = await me.commit(changes=appends)
    accepted = (Delivery.ACCEPTED,) * 2
    assert receipt.changed == tuple(Appended(accepted, (1, 2), flow, "me") for flow in flows)


async def test_read_inbox_of_no_flow_is_none(store: Store) -> None:
    assert await store.read_inbox(1) is None


async def test_consumed_messages_are_left_out_wherever_they_stand(me: Driver) -> None:
    flow = await me.run("f")
    await me.send("f", "a", "b", "c")
    await me.record(effect(flow, "wait", consumes=(2,)))
    inbox = await me.store.read_inbox(flow.number)
    (loaded,) = await me.store.load("me", (flow.number,))
    assert inbox is not None
    assert [message.key for message in inbox.messages] == ["a", "c"]
    assert loaded.messages == inbox.messages
