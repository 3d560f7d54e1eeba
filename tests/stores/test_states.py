"""The state a flow publishes: written by its owner only, the last one stays."""

import pytest

from tests.stores.driver import Driver
from unbroken.model.errors import BatchRefused
from unbroken.model.records import FlowRef, Status
from unbroken.stores.batch import Publish, Suspend
from unbroken.stores.store import State


async def publish(driver: Driver, flow: FlowRef, *bodies: str, incarnation: int = 1) -> None:
    states = tuple(Publish(flow.number, incarnation, body, "int") for body in bodies)
    await driver.commit(states=states)


async def test_the_last_state_of_a_flow_is_read(me: Driver) -> None:
    flow = await me.run("f")
    assert await me.store.read_state("t", "f") is None
    await publish(me, flow, "1")
    assert await me.store.read_state("t", "f") == State("1", "int")
    await publish(me, flow, "2", "3")
    assert await me.store.read_state("t", "f") == State("3", "int")


async def test_a_state_need_not_name_its_type(me: Driver) -> None:
    flow = await me.run("f")
    await me.commit(states=(Publish(flow.number, 1, "null", None),))
    assert await me.store.read_state("t", "f") == State("null", None)


async def test_absent_flows_have_no_state(me: Driver) -> None:
    await publish(me, await me.run("f"), "1")
    assert await me.store.read_state("t", "g") is None
    assert await me.store.read_state("u", "f") is None


async def test_who_does_not_own_this_incarnation_publishes_nothing(
    me: Driver, other: Driver
) -> None:
    flow = await me.run("f")
    await publish(me, flow, "1")
    await publish(other, flow, "other")
    await publish(me, flow, "too early", incarnation=2)
    await publish(me, FlowRef(10**9, "t", "absent"), "absent")
    assert await me.store.read_state("t", "f") == State("1", "int")
    await me.suspend(flow)
    await publish(me, flow, "suspended")
    assert await me.store.read_state("t", "f") == State("1", "int")


@pytest.mark.parametrize("status", [one for one in Status if one is not Status.LIVE])
async def test_a_state_outlives_its_flow_until_it_is_deleted(me: Driver, status: Status) -> None:
    flow = await me.run("f")
    await publish(me, flow, "1")
    await me.end(flow, status)
    assert await me.store.read_state("t", "f") == State("1", "int")
    assert await me.store.delete_flow("t", "f")
    await me.run("f")
    assert await me.store.read_state("t", "f") is None


async def test_a_state_is_published_before_the_changes_of_its_batch(me: Driver) -> None:
    flow = await me.run("f")
    await me.commit(
        states=(Publish(flow.number, 1, "1", "int"),), changes=(Suspend(flow, 1, 0, None),)
    )
    assert await me.store.read_state("t", "f") == State("1", "int")


async def test_publishing_does_not_change_the_row(me: Driver) -> None:
    flow = await me.run("f")
    before = await me.view("f")
    await publish(me, flow, "1")
    assert await me.view("f") == before


async def test_a_state_that_no_column_takes_refuses_the_batch_whole(me: Driver) -> None:
    flow = await me.run("f")
    await publish(me, flow, "1")
    states = (Publish(flow.number, 1, "2", None), Publish(flow.number, 1, "\ud800", None))
    with pytest.raises(BatchRefused):
        await me.store.commit(me.batch(states=states))
    assert await me.store.read_state("t", "f") == State("1", "int")
