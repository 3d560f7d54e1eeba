"""Declared retries: a failed flow is given back, forgets where it failed, and pauses."""

from tests.stores.clock import SECOND, FakeClock
from tests.stores.driver import Driver, effect, note
from unbroken.model.records import FlowRef, Parent, Status
from unbroken.stores.batch import Answer, Append, Changed, End, Retry
from unbroken.stores.store import Amendment


async def fail(
    driver: Driver, flow: FlowRef, due_at: int, *forgets: str, incarnation: int = 1
) -> Changed:
    return await driver.change(Retry(flow, incarnation, "error", due_at, forgets))


async def test_a_failed_run_is_tried_again_at_its_time(me: Driver, clock: FakeClock) -> None:
    flow = await me.run("f")
    at = clock.now() + 10 * SECOND
    assert await fail(me, flow, at) == Changed(Answer.ACCEPTED)
    view = await me.view("f")
    assert (view.status, view.owner, view.due_at) == (Status.LIVE, None, at)
    assert (view.failures, view.error, view.ended_at) == (1, "error", None)
    assert (await me.store.poll("me", ["t"], [])).next_due == at
    await clock.advance(9.999)
    assert (await me.claim()).claimed == ()
    await clock.advance(0.001)
    (claimed,) = (await me.claim()).claimed
    assert (claimed.incarnation, claimed.failures, claimed.crashes) == (2, 1, 0)


async def test_each_failure_counts(me: Driver, clock: FakeClock) -> None:
    flow = await me.run("f")
    for number in range(1, 4):
        await fail(me, flow, clock.now(), incarnation=number)
        (claimed,) = (await me.claim()).claimed
        assert claimed.failures == number
    (loaded,) = await me.store.load("me", (flow.number,))
    assert loaded.failures == 3


async def test_what_failed_is_forgotten_with_all_beneath(me: Driver, clock: FakeClock) -> None:
    flow, twin = await me.run("f"), await me.run("twin")
    kept = ("a", "pay#2", "pay#2.1", "paying", "pay-", "pay0", "z")
    gone = ("pay", "pay.1", "pay.begun", "pay/inner", "pay/inner.1", "also")
    await me.record(*(effect(flow, key) for key in (*kept, *gone)))
    await me.record(effect(twin, "pay"))
    await fail(me, flow, clock.now(), "pay", "also", "never there")
    assert set(await me.keys(flow)) == set(kept)
    assert await me.keys(twin) == ["pay"]


async def test_what_it_had_consumed_may_become_pending_again(me: Driver, clock: FakeClock) -> None:
    flow, twin = await me.run("f"), await me.run("twin")
    for id in ("f", "twin"):
        await me.send(id, "a", "b", "c")
    for one in (flow, twin):
        await me.record(effect(one, "x", consumes=(1, 2)))
    await me.change(Retry(flow, 1, "error", clock.now(), ("x",), restores=(2,)))
    (claimed,) = (await me.claim()).claimed
    assert [message.position for message in claimed.messages] == [2, 3]
    (other,) = await me.store.load("me", (twin.number,))
    assert [message.position for message in other.messages] == [3]


async def test_a_message_does_not_cut_the_pause_short(me: Driver, clock: FakeClock) -> None:
    at = clock.now() + 10 * SECOND
    flow = await me.run("f")
    await fail(me, flow, at)
    await me.send("f", "a")
    assert (await me.view("f")).due_at == at
    assert (await me.claim()).claimed == ()
    await clock.advance(10)
    (claimed,) = (await me.claim()).claimed
    assert [message.key for message in claimed.messages] == ["a"]


async def test_a_childs_end_does_not_cut_the_pause_short(me: Driver, clock: FakeClock) -> None:
    at = clock.now() + 10 * SECOND
    flow = await me.run("f")
    parent = Parent(flow, "~child")
    child = await me.run("c", parent=parent)
    await fail(me, flow, at)
    await me.change(End(child, 1, Status.DONE, parents=(parent,), told=note("", "1")))
    assert (await me.view("f")).due_at == at
    assert await me.inbox(flow) == ("~child",)


async def test_a_cancel_cuts_the_pause_short(me: Driver, clock: FakeClock) -> None:
    flow = await me.run("f")
    await fail(me, flow, clock.now() + 10 * SECOND)
    await me.cancel("f")
    await me.send("f", "a")
    (claimed,) = (await me.claim()).claimed
    assert [message.key for message in claimed.messages] == ["~cancel", "a"]


async def test_after_the_pause_a_message_wakes_as_ever(me: Driver, clock: FakeClock) -> None:
    flow = await me.run("f")
    await fail(me, flow, clock.now() + 10 * SECOND)
    await clock.advance(10)
    await me.claim()
    await me.suspend(flow, incarnation=2, due_at=clock.now() + 20 * SECOND)
    await me.send("f", "a")
    assert (await me.view("f")).due_at == clock.now()
    assert len((await me.claim()).claimed) == 1


async def test_what_was_appended_before_the_failure_does_not_refuse_it(
    me: Driver, other: Driver, clock: FakeClock
) -> None:
    flow = await me.run("f")
    await other.send("f", "a")
    assert (await fail(me, flow, clock.now())).answer is Answer.ACCEPTED


async def test_who_does_not_own_this_incarnation_is_refused(
    me: Driver, other: Driver, clock: FakeClock
) -> None:
    flow = await me.run("f")
    await me.record(effect(flow, "e"))
    before = await me.view("f")
    assert (await fail(other, flow, clock.now(), "e")).answer is Answer.REFUSED
    assert (await fail(me, flow, clock.now(), "e", incarnation=2)).answer is Answer.REFUSED
    assert await me.view("f") == before
    assert await me.keys(flow) == ["e"]


async def test_the_error_goes_when_the_flow_succeeds_and_the_count_stays(
    me: Driver, clock: FakeClock
) -> None:
    flow = await me.run("f")
    await fail(me, flow, clock.now())
    await me.claim()
    await me.end(flow, incarnation=2, body="1")
    view = await me.view("f")
    assert (view.status, view.error, view.failures) == (Status.DONE, None, 1)


async def test_a_retry_and_a_message_in_one_batch_keep_the_pause(
    me: Driver, clock: FakeClock
) -> None:
    flow = await me.run("f")
    at = clock.now() + SECOND
    await me.commit(changes=(Retry(flow, 1, "e", at), Append("t", "f", (note("a"),))))
    assert (await me.view("f")).due_at == at


async def test_a_restart_cuts_the_pause_short(me: Driver, clock: FakeClock) -> None:
    flow = await me.run("f")
    await fail(me, flow, clock.now() + 10 * SECOND)
    assert await me.store.amend(flow.number, (await me.view("f")).version, Amendment(restarts=True))
    (claimed,) = (await me.claim()).claimed
    assert claimed.failures == 0
    await me.suspend(flow, incarnation=2, due_at=clock.now() + 20 * SECOND)
    await me.send("f", "a")
    assert len((await me.claim()).claimed) == 1, "the pause is forgotten"
