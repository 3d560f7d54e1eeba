"""Going on anew: other arguments, an empty journal, a bounded history, and nothing lost."""

from tests.stores.clock import FakeClock
from tests.stores.conftest import Door
from tests.stores.driver import Driver, effect
from unbroken.model.records import Delivery, FlowRef, Parent, Status
from unbroken.stores.batch import Answer, Changed, Continue, Publish, Retry
from unbroken.stores.store import State


async def anew(
    driver: Driver, flow: FlowRef, incarnation: int = 1, param: str = "2", code: int = 1
) -> Changed:
    return await driver.change(Continue(flow, incarnation, param, code))


async def test_a_flow_goes_on_with_other_arguments_under_its_owner(me: Driver) -> None:
    flow = await me.run("f", param="1")
    await me.record(effect(flow, "a"), effect(flow, "a.1"))
    version = (await me.view("f")).version
    assert await anew(me, flow, code=7) == Changed(Answer.ACCEPTED)
    view = await me.view("f")
    assert (view.status, view.owner, view.due_at) == (Status.LIVE, "me", None)
    assert (view.incarnation, view.param, view.code) == (2, "2", 7)
    assert view.version == version + 1
    assert await me.keys(flow) == []
    assert await me.store.owned("me") == {flow.number: 2}
    (loaded,) = await me.store.load("me", (flow.number,))
    assert (loaded.param, loaded.code, loaded.effects) == ("2", 7, ())


async def test_keys_are_free_again_and_the_former_incarnation_writes_nothing(me: Driver) -> None:
    flow = await me.run("f")
    await me.record(effect(flow, "a"))
    await anew(me, flow)
    assert await me.record(effect(flow, "a")) == {0}
    assert await me.record(effect(flow, "a", incarnation=2)) == frozenset()


async def test_unread_messages_come_along_and_keep_their_keys(me: Driver) -> None:
    flow = await me.run("f")
    await me.send("f", "a", "b")
    await anew(me, flow)
    assert await me.inbox(flow) == ("a", "b")
    assert (await me.send("f", "a")).deliveries == (Delivery.DUPLICATE,)
    assert (await me.view("f")).inbox == 3


async def test_the_keys_of_consumed_messages_are_remembered_once(me: Driver, door: Door) -> None:
    flow = await me.run("f")
    await me.send("f", "a")
    await me.record(effect(flow, "wait", consumes=(1,)))
    await anew(me, flow)
    assert (await me.send("f", "a")).deliveries == (Delivery.DUPLICATE,)
    assert await me.inbox(flow) == ()
    await anew(me, flow, 2)
    assert door.count("messages", flow) == 0
    assert (await me.send("f", "a")).deliveries == (Delivery.ACCEPTED,)


async def test_a_flow_that_lives_for_ever_keeps_a_bounded_history(me: Driver, door: Door) -> None:
    flow = await me.run("f")
    for number in range(1, 51):
        position = (await me.send("f", f"m{number}")).positions[0]
        await me.record(effect(flow, "wait", incarnation=number, consumes=(position,)))
        await anew(me, flow, number)
        assert door.count("effects", flow) == 0
        assert door.count("messages", flow) <= 2


async def test_what_the_engine_sent_for_the_former_journal_goes(me: Driver) -> None:
    flow = await me.run("f")
    await me.send("f", "~child", "~", "user~", "~cancel", "\x7f", "}")
    await me.send("f", "~consumed")
    await me.record(effect(flow, "child", consumes=(7,)))
    await anew(me, flow)
    assert await me.inbox(flow) == ("user~", "~cancel", "\x7f", "}")
    # A wait of the new journal may have the key that one of the former had.
    again = await me.send("f", "~child", "~consumed")
    assert again.deliveries == (Delivery.ACCEPTED, Delivery.ACCEPTED)


async def test_what_was_seen_stays_seen(me: Driver, other: Driver) -> None:
    flow = await me.run("f")
    await me.send("f", "a")
    await anew(me, flow)
    assert (await me.store.poll("me", ["t"], [])).moved == ()
    await other.send("f", "b")
    assert (await me.store.poll("me", ["t"], [])).moved == (flow.number,)
    assert (await me.suspend(flow, seen=2, incarnation=2)).answer is Answer.ACCEPTED


async def test_failures_and_their_error_are_forgotten(me: Driver, clock: FakeClock) -> None:
    flow = await me.run("f")
    await me.change(Retry(flow, 1, "error", clock.now()))
    await me.claim()
    await anew(me, flow, 2)
    view = await me.view("f")
    assert (view.failures, view.error, view.crashes) == (0, None, 0)


async def test_parents_and_state_stay(me: Driver) -> None:
    parent = Parent(await me.run("p"), "~child")
    flow = await me.run("f", parent=parent)
    await me.commit(states=(Publish(flow.number, 1, "1", None),))
    await anew(me, flow)
    assert await me.store.read_state("t", "f") == State("1", None)
    assert (await me.view("f")).parents == (parent,)


async def test_who_does_not_own_this_incarnation_is_refused(me: Driver, other: Driver) -> None:
    flow = await me.run("f", param="1")
    await me.record(effect(flow, "a"))
    await me.send("f", "~child")
    before = await me.view("f")
    assert (await anew(other, flow)).answer is Answer.REFUSED
    assert (await anew(me, flow, 2)).answer is Answer.REFUSED
    assert await me.view("f") == before
    assert await me.keys(flow) == ["a"]
    assert await me.inbox(flow) == ("~child",)


async def test_another_flows_journal_is_not_touched(me: Driver) -> None:
    flow, twin = await me.run("f"), await me.run("twin")
    await me.record(effect(twin, "a"))
    await me.send("twin", "m", "~n")
    await me.record(effect(twin, "wait", consumes=(1,)))
    await anew(me, flow)
    await anew(me, flow, 2)
    assert await me.keys(twin) == ["a", "wait"]
    assert await me.inbox(twin) == ("~n",)
    assert (await me.send("twin", "m")).deliveries == (Delivery.DUPLICATE,)
