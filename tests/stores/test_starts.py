"""Starts: new flows, flows that exist, parents that join."""

from typing import Any

import pytest

from tests.stores.clock import SECOND, FakeClock
from tests.stores.conftest import Door
from tests.stores.driver import Driver
from unbroken.model.records import Parent, Status
from unbroken.stores.batch import NewMessage, Start


async def test_a_start_makes_a_flow_that_is_due_now(me: Driver, clock: FakeClock) -> None:
    started = await me.start("f", param='{"a":1}')
    assert started.created
    assert started.outcome is None
    view = await me.store.view("t", "f")
    assert view is not None
    assert view.flow == started.flow
    assert (view.status, view.owner, view.due_at) == (Status.LIVE, None, clock.now())
    assert (view.param, view.incarnation, view.inbox, view.crashes) == ('{"a":1}', 0, 0, 0)
    assert (view.created_at, view.ended_at) == (clock.now(), None)


async def test_a_start_may_be_due_later(me: Driver, clock: FakeClock) -> None:
    at = clock.now() + 5 * SECOND
    await me.start("f", due_at=at)
    assert (await me.claim()).claimed == ()
    await clock.advance(5)
    assert len((await me.claim()).claimed) == 1


async def test_an_owned_start_runs_here_at_once(me: Driver) -> None:
    flow = await me.run("f")
    assert await me.store.owned("me") == {flow.number: 1}
    view = await me.store.view("t", "f")
    assert view is not None
    assert (view.owner, view.due_at, view.incarnation) == ("me", None, 1)
    assert (await me.claim()).claimed == ()


async def test_an_id_that_exists_is_found_and_nothing_changes(me: Driver, other: Driver) -> None:
    first = await me.start("f", param="1")
    before = await me.store.view("t", "f")
    again = await other.start("f", param="1", owned=True)
    assert (again.created, again.same_param, again.outcome) == (False, True, None)
    assert again.flow == first.flow
    assert not (await other.start("f", param="2")).same_param
    assert await me.store.view("t", "f") == before


async def test_two_starts_of_one_id_in_a_batch_are_one_flow(me: Driver) -> None:
    new = Start("t", "f", "{}")
    first, second = (await me.commit(starts=(new, new))).started
    assert (first.created, second.created) == (True, False)
    assert first.flow == second.flow


async def test_types_keep_flows_with_the_same_id_apart(me: Driver) -> None:
    one = await me.start("f", type="a")
    two = await me.start("f", type="b")
    assert one.created
    assert two.created
    assert one.flow.number != two.flow.number


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (Status.DONE, {"body": "42", "type": "int"}),
        (Status.FAILED, {"error": '{"type":"E"}'}),
        (Status.CANCELLED, {}),
        (Status.PARKED, {"error": "stuck"}),
    ],
)
async def test_a_start_of_an_ended_flow_says_how_it_ended(
    me: Driver, status: Status, fields: dict[str, Any]
) -> None:
    flow = await me.run("f")
    await me.end(flow, status, **fields)
    outcome = (await me.start("f")).outcome
    assert outcome is not None
    assert (outcome.flow, outcome.status) == (flow, status)
    assert outcome.body == fields.get("body")
    assert outcome.type == fields.get("type")
    assert outcome.error == fields.get("error")
    assert outcome == await me.store.find("t", "f")


async def test_a_parent_is_kept_with_a_new_flow(me: Driver) -> None:
    parent = Parent(await me.run("p"), "child")
    await me.start("c", parent=parent)
    (claimed,) = (await me.claim()).claimed
    assert claimed.parents == (parent,)


async def test_a_parent_joins_a_parked_flow_and_is_told_of_its_end(me: Driver) -> None:
    above = await me.run("p")
    parent = Parent(above, "child")
    flow = await me.run("c")
    await me.end(flow, Status.PARKED, error="stuck", mendable=True)
    started = await me.start("c", parent=parent)
    assert started.outcome == await me.store.find("t", "c")
    await me.store.mend(["t"])
    (claimed,) = (await me.claim()).claimed
    assert claimed.parents == (parent,)
    told = NewMessage("", "~ended", "{}")
    ended = await me.end(flow, incarnation=2, parents=claimed.parents, told=told)
    assert [one.flow for one in ended.told] == [above]
    assert await me.inbox(above) == ("child",)


@pytest.mark.parametrize("status", [Status.DONE, Status.FAILED, Status.CANCELLED])
async def test_a_parent_does_not_join_a_flow_that_has_ended(
    me: Driver, door: Door, status: Status
) -> None:
    flow = await me.run("c")
    await me.end(flow, status)
    await me.start("c", parent=Parent(await me.run("p"), "child"))
    assert door.parents(flow) == "[]"


async def test_a_parent_joins_a_live_flow_once(me: Driver) -> None:
    first, second = Parent(await me.run("p"), "child"), Parent(await me.run("q"), "child")
    await me.start("c", parent=first)
    created = await me.store.view("t", "c")
    await me.start("c", parent=second)
    joined = await me.store.view("t", "c")
    await me.start("c", parent=second)
    assert await me.store.view("t", "c") == joined
    assert created is not None
    assert joined is not None
    assert joined.version == created.version + 1
    (claimed,) = (await me.claim()).claimed
    assert claimed.parents == (first, second)


async def test_one_parent_may_wait_twice(me: Driver) -> None:
    flow = await me.run("p")
    await me.start("c", parent=Parent(flow, "one"))
    await me.start("c", parent=Parent(flow, "two"))
    (claimed,) = (await me.claim()).claimed
    assert [parent.key for parent in claimed.parents] == ["one", "two"]


async def test_a_parent_cannot_join_what_has_ended_and_gets_its_outcome(
    me: Driver, door: Door
) -> None:
    child = await me.run("c")
    await me.end(child, body="1")
    started = await me.start("c", parent=Parent(await me.run("p"), "child"))
    assert started.outcome is not None
    assert door.parents(child) == "[]"


async def test_numbers_are_never_used_twice(me: Driver) -> None:
    flow = await me.run("f")
    await me.end(flow)
    assert await me.store.delete_flow("t", "f")
    assert (await me.run("f")).number > flow.number


async def test_a_batch_may_start_a_thousand_flows(me: Driver) -> None:
    starts = tuple(Start("t", f"f{number}", "{}") for number in range(1000))
    receipt = await me.commit(starts=starts)
    assert len({started.flow.number for started in receipt.started}) == 1000
    assert [started.flow.id for started in receipt.started] == [new.id for new in starts]
    claimed = (await me.claim(limit=2000)).claimed
    assert {flow.flow.id for flow in claimed} == {new.id for new in starts}
