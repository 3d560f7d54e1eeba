"""Correlations: a message for whoever registered an id, whatever flows there are."""

import pytest

from tests.stores.driver import Driver
from unbroken.model.records import FlowRef, Status
from unbroken.stores.batch import Answer, Continue, Correlate


async def correlate(driver: Driver, flow: FlowRef, *ids: str, remove: bool = False) -> None:
    for one in ids:
        answer = await driver.change(Correlate(flow, 1, one, remove))
        assert answer.answer is Answer.ACCEPTED


async def test_every_live_flow_of_the_type_is_found_oldest_first(me: Driver) -> None:
    flows = [await me.run(name) for name in ("z", "a", "m")]
    for flow in reversed(flows):
        await correlate(me, flow, "order-1")
    await correlate(me, await me.run("x", type="u"), "order-1")
    await correlate(me, await me.run("other"), "order-2")
    assert await me.store.correlated("t", "order-1") == tuple(flows)
    assert await me.store.correlated("t", "order") == ()
    assert await me.store.correlated("u", "order-2") == ()


async def test_a_flow_may_have_many_and_take_each_back(me: Driver) -> None:
    flow = await me.run("f")
    await correlate(me, flow, "a", "b", "a")
    for one in ("a", "b"):
        assert await me.store.correlated("t", one) == (flow,)
    await correlate(me, flow, "a", remove=True)
    await correlate(me, flow, "a", remove=True)
    assert await me.store.correlated("t", "a") == ()
    assert await me.store.correlated("t", "b") == (flow,)


async def test_a_waiting_flow_is_found(me: Driver) -> None:
    flow = await me.run("f")
    await correlate(me, flow, "a")
    await me.suspend(flow)
    assert await me.store.correlated("t", "a") == (flow,)


async def test_a_flow_that_goes_on_anew_is_found(me: Driver) -> None:
    flow = await me.run("f")
    await correlate(me, flow, "a")
    await me.change(Continue(flow, 1, "{}"))
    assert await me.store.correlated("t", "a") == (flow,)


async def test_a_parked_flow_is_found(me: Driver) -> None:
    flow = await me.run("f")
    await correlate(me, flow, "a")
    await me.end(flow, Status.PARKED)
    assert await me.store.correlated("t", "a") == (flow,)


@pytest.mark.parametrize("status", [Status.DONE, Status.FAILED, Status.CANCELLED])
async def test_an_ended_flow_is_not_found(me: Driver, status: Status) -> None:
    flow = await me.run("f")
    await correlate(me, flow, "a")
    await me.end(flow, status)
    assert await me.store.correlated("t", "a") == ()


async def test_who_does_not_own_this_incarnation_is_refused(me: Driver, other: Driver) -> None:
    flow = await me.run("f")
    await correlate(me, flow, "kept")
    for driver, incarnation in ((other, 1), (me, 2)):
        for remove, one in ((False, "new"), (True, "kept")):
            answer = await driver.change(Correlate(flow, incarnation, one, remove))
            assert answer.answer is Answer.REFUSED
    assert await me.store.correlated("t", "new") == ()
    assert await me.store.correlated("t", "kept") == (flow,)


async def test_a_deleted_flow_leaves_no_correlation_to_its_successor(me: Driver) -> None:
    flow = await me.run("f")
    await correlate(me, flow, "a")
    await me.end(flow)
    assert await me.store.delete_flow("t", "f")
    await me.run("f")
    assert await me.store.correlated("t", "a") == ()


@pytest.mark.parametrize("text", ["", "'; --", "%", "straße", "STRASSE", "👩‍👩‍👧‍👦", '["a"]'])
async def test_a_hostile_id_is_an_id(me: Driver, text: str) -> None:
    flow = await me.run("f")
    await correlate(me, flow, text)
    assert await me.store.correlated("t", text) == (flow,)
    assert await me.store.correlated("t", text + " ") == ()
