"""What a replica or an operator reads: polls, the audit of owned flows, views, lists."""

import pytest

from tests.stores.clock import SECOND, FakeClock
from tests.stores.conftest import HOLDS_ANY_BYTES, Door
from tests.stores.driver import Driver, effect
from unbroken.model.errors import StoreCorrupt
from unbroken.model.records import Status
from unbroken.stores.batch import Acknowledge
from unbroken.stores.store import Poll, Store


async def test_a_poll_of_an_empty_store_finds_nothing(store: Store, clock: FakeClock) -> None:
    assert await store.poll("me", ["t"], []) == Poll(clock.now(), None)
    assert await store.poll("me", [], []) == Poll(clock.now(), None)


async def test_a_poll_gives_the_earliest_due_time_of_known_types(
    me: Driver, clock: FakeClock
) -> None:
    now = clock.now()
    await me.start("a", type="known", due_at=now + 5 * SECOND)
    await me.start("b", type="known", due_at=now + 3 * SECOND)
    await me.start("c", type="unknown", due_at=now + SECOND)
    await me.run("d", type="known")
    assert (await me.store.poll("me", ["known"], [])).next_due == now + 3 * SECOND
    assert (await me.store.poll("me", ["known", "unknown"], [])).next_due == now + SECOND
    assert (await me.store.poll("me", ["never seen"], [])).next_due is None


async def test_a_waiting_or_ended_flow_has_no_due_time(me: Driver) -> None:
    await me.suspend(await me.run("waiting"))
    await me.end(await me.run("ended"))
    assert (await me.store.poll("me", ["t"], [])).next_due is None


async def test_a_poll_reports_what_others_put_into_ones_inboxes(me: Driver, other: Driver) -> None:
    flow = await me.run("f")
    await other.send("f", "a")
    assert (await me.store.poll("me", ["t"], [])).moved == (flow.number,)
    assert (await me.store.poll("other", ["t"], [])).moved == ()


async def test_a_poll_keeps_quiet_about_what_the_replica_itself_delivered(
    me: Driver, other: Driver
) -> None:
    flow = await me.run("f")
    await me.send("f", "a")
    assert (await me.store.poll("me", ["t"], [])).moved == ()
    await other.send("f", "b")
    await me.send("f", "c")
    assert (await me.store.poll("me", ["t"], [])).moved == (flow.number,)


async def test_an_acknowledged_inbox_is_reported_no_more(me: Driver, other: Driver) -> None:
    flow = await me.run("f")
    await other.send("f", "a")
    await me.change(Acknowledge(flow, 1, 1))
    assert (await me.store.poll("me", ["t"], [])).moved == ()
    await other.send("f", "b")
    assert (await me.store.poll("me", ["t"], [])).moved == (flow.number,)


async def test_a_late_acknowledgement_takes_nothing_back(me: Driver, other: Driver) -> None:
    flow = await me.run("f")
    await other.send("f", "a", "b")
    await me.change(Acknowledge(flow, 1, 2))
    await me.change(Acknowledge(flow, 1, 1))
    assert (await me.store.poll("me", ["t"], [])).moved == ()
    await me.change(Acknowledge(flow, 1, 99))
    await other.send("f", "c")
    assert (await me.store.poll("me", ["t"], [])).moved == (flow.number,)


async def test_a_claim_has_seen_the_inbox(me: Driver, other: Driver) -> None:
    await me.suspend(await me.run("f"))
    await other.send("f", "a")
    await me.claim()
    assert (await me.store.poll("me", ["t"], [])).moved == ()


async def test_a_poll_says_which_awaited_flows_have_ended(me: Driver) -> None:
    live, done, failed = await me.run("live"), await me.run("done"), await me.run("failed")
    await me.end(done, body="1", type="int")
    await me.end(failed, Status.FAILED, error="e")
    awaited = [live.number, done.number, failed.number, 10**9]
    ended = {outcome.flow: outcome for outcome in (await me.store.poll("me", [], awaited)).ended}
    assert set(ended) == {done, failed}
    assert (ended[done].status, ended[done].body, ended[done].type) == (Status.DONE, "1", "int")
    assert (ended[failed].status, ended[failed].error) == (Status.FAILED, "e")


@HOLDS_ANY_BYTES
async def test_an_awaited_flow_that_cannot_be_read_does_not_spoil_the_poll(
    me: Driver, door: Door
) -> None:
    bad, good = await me.run("bad"), await me.run("good")
    for flow in (bad, good):
        await me.end(flow, body="1")
    await me.start("due")
    door.damage_text(bad, "flows.result")
    poll = await me.store.poll("me", ["t"], [bad.number, good.number])
    assert poll.next_due is not None
    ended = {outcome.flow.id: outcome.status for outcome in poll.ended}
    assert ended == {"bad": Status.PARKED, "good": Status.DONE}


async def test_owned_is_number_and_incarnation(me: Driver) -> None:
    first, second = await me.run("a"), await me.run("b")
    await me.release(second)
    await me.claim()
    assert await me.store.owned("me") == {first.number: 1, second.number: 2}
    assert await me.store.owned("nobody") == {}


async def test_the_audit_after_an_unknown_claim_finds_what_was_claimed(me: Driver) -> None:
    """The answer of a claim is lost; the flows are read again as the claim returned them."""
    flow = await me.run("f")
    await me.record(effect(flow, "e"))
    await me.release(flow)
    claimed = (await me.claim()).claimed
    owned = await me.store.owned("me")
    assert await me.store.load("me", list(owned)) == claimed


async def test_find_and_view_of_no_flow_are_none(me: Driver) -> None:
    await me.start("f")
    assert await me.store.find("t", "F") is None
    assert await me.store.view("u", "f") is None


async def test_find_of_a_live_flow_says_live(me: Driver) -> None:
    flow = (await me.start("f")).flow
    outcome = await me.store.find("t", "f")
    assert outcome is not None
    assert (outcome.flow, outcome.status, outcome.body) == (flow, Status.LIVE, None)


@HOLDS_ANY_BYTES
async def test_a_damaged_row_is_named_and_its_contents_are_not_shown(
    me: Driver, door: Door
) -> None:
    flow = await me.run("f")
    door.damage_text(flow, "flows.param")
    with pytest.raises(StoreCorrupt) as trouble:
        await me.store.view("t", "f")
    chain = [trouble.value, trouble.value.__cause__, trouble.value.__context__]
    assert not any("secret" in str(error) for error in chain)


async def test_flows_are_listed_by_number_in_pages(me: Driver) -> None:
    flows = [(await me.start(f"f{number}")).flow for number in range(5)]
    await me.start("x", type="other type")
    first = await me.store.list_flows("t", (), 0, 3)
    assert [view.flow for view in first] == flows[:3]
    rest = await me.store.list_flows("t", (), first[-1].flow.number, 3)
    assert [view.flow for view in rest] == flows[3:]
    assert first[0] == await me.store.view("t", "f0")


async def test_flows_are_listed_by_status(me: Driver) -> None:
    live = await me.run("live")
    ended = {}
    for status in (Status.DONE, Status.FAILED, Status.CANCELLED, Status.PARKED):
        ended[status] = await me.run(status.value)
        await me.end(ended[status], status)
    for status, flow in {Status.LIVE: live, **ended}.items():
        assert [one.flow for one in await me.store.list_flows("t", (status,), 0, 9)] == [flow]
    both = await me.store.list_flows("t", (Status.FAILED, Status.PARKED), 0, 9)
    assert [one.flow.id for one in both] == ["failed", "parked"]


async def test_reads_see_what_was_acknowledged(me: Driver) -> None:
    for number in range(20):
        await me.start(f"f{number}")
        assert await me.store.find("t", f"f{number}") is not None


async def test_the_store_says_what_it_survives(store: Store) -> None:
    assert store.durability
