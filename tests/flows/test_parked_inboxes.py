"""What is sent to a parked flow waits for it: a webhook between a bad deploy and its repair."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps, Gate, loose, row, stored_messages, until
from unbroken import (
    Delivery,
    FlowCancelled,
    FlowMoved,
    FlowParked,
    Status,
    Unbroken,
    capture,
    correlate,
    flow,
    message,
    question,
)
from unbroken.model.clock import moment_of
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)

ran: list[str] = []


@dataclass
class Paid:
    amount: int


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


async def note(text: str) -> str:
    ran.append(text)
    return text


def deployed(code: Callable[..., Any]) -> Any:
    return flow(name="deployed")(code)


@deployed
async def right() -> str:
    await correlate("order-7")
    order = await message(str)
    try:
        paid = [(await message(Paid)).amount for _ in range(2)]
    except FlowCancelled:
        await capture("undo", note, f"undo {order}")
        raise
    return f"{order}: {paid}"


@deployed
async def wrong() -> None:
    await correlate("order-7")
    await capture("message:str", note, "went wrong")


async def begin(shared: Apps, code: Any = right) -> None:
    """Start a flow that has read its order and waits for what no text is."""
    app = shared(suspend_after=AT_ONCE)
    flows = app.register(code)
    async with app:
        await flows.schedule("a")
        await flows.send_message("a", "tea", key="order")
        await shared.clock.settle()
        assert stored_messages(app, "a") == []


async def deploy_wrong_code(shared: Apps, code: Any = wrong) -> tuple[Unbroken, Any]:
    """Start an app whose code does not fit; a text wakes the flow, which it parks."""
    app = shared()
    flows = app.register(code)
    await app.start()
    await flows.send_message("a", "wake")
    with pytest.raises(FlowParked):
        await flows.completion("a")
    return app, flows


async def stays_parked(app: Unbroken, clock: VirtualClock) -> None:
    await clock.advance(HOUR)
    view = await row(app, "deployed", "a")
    assert (view.status, view.owner, view.due_at) == (Status.PARKED, None, None)


async def test_a_repaired_deploy_finds_what_came_meanwhile(shared: Apps) -> None:
    await begin(shared)
    app, flows = await deploy_wrong_code(shared)
    incarnation = (await row(app, "deployed", "a")).incarnation
    assert await flows.send_message("a", Paid(1)) is Delivery.ACCEPTED
    assert await flows.message_writer("a").append(Paid(2)) is Delivery.ACCEPTED
    await stays_parked(app, shared.clock)
    assert (await row(app, "deployed", "a")).incarnation == incarnation
    await app.stop()
    repaired = shared()
    flows = repaired.register(right)
    async with repaired:
        assert await flows.completion("a") == "tea: [1, 2]"
        assert await flows.send_message("a", Paid(3)) is Delivery.FLOW_ENDED


async def test_code_that_is_still_wrong_leaves_it_in_the_inbox(shared: Apps) -> None:
    await begin(shared)
    for amount in (1, 2):
        app, flows = await deploy_wrong_code(shared)
        assert await flows.send_message("a", Paid(amount)) is Delivery.ACCEPTED
        await app.stop()
    repaired = shared()
    flows = repaired.register(right)
    async with repaired:
        assert await flows.completion("a") == "tea: [1, 2]"


async def test_a_parked_flow_is_reached_by_its_correlation_id(shared: Apps) -> None:
    await begin(shared)
    app, flows = await deploy_wrong_code(shared)
    assert await flows.route_message(Paid(1), "order-7", key="x") == [Delivery.ACCEPTED]
    assert await flows.route_message(Paid(2), "order-7", key="y") == [Delivery.ACCEPTED]
    assert await flows.route_message(Paid(2), "order-8") == []
    await stays_parked(app, shared.clock)
    await app.stop()
    repaired = shared()
    flows = repaired.register(right)
    async with repaired:
        assert await flows.completion("a") == "tea: [1, 2]"
        assert await flows.route_message(Paid(3), "order-7") == []


async def test_equal_keys_are_one_message_also_while_it_is_parked(shared: Apps) -> None:
    await begin(shared)
    app, flows = await deploy_wrong_code(shared)
    assert await flows.send_message("a", "again", key="order") is Delivery.DUPLICATE
    for expected in (Delivery.ACCEPTED, Delivery.DUPLICATE):
        assert await flows.send_message("a", Paid(1), key="paid") is expected
    assert await flows.route_message(Paid(1), "order-7", key="paid") == [Delivery.DUPLICATE]
    await app.stop()
    repaired = shared()
    flows = repaired.register(right)
    async with repaired:
        assert await flows.send_message("a", Paid(1), key="paid") is Delivery.DUPLICATE
        assert await flows.send_message("a", Paid(2)) is Delivery.ACCEPTED
        assert await flows.completion("a") == "tea: [1, 2]"


async def test_a_cancel_while_it_is_parked_is_raised_when_it_goes_on(shared: Apps) -> None:
    await begin(shared)
    app, flows = await deploy_wrong_code(shared)
    assert await flows.cancel("a") is Delivery.ACCEPTED
    assert await flows.cancel("a") is Delivery.DUPLICATE
    await stays_parked(app, shared.clock)
    assert ran == []
    await app.stop()
    repaired = shared()
    flows = repaired.register(right)
    async with repaired:
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        assert await flows.cancel("a") is Delivery.FLOW_ENDED
    assert ran == ["undo tea"]


async def test_a_restart_finds_the_messages_and_takes_the_cancel_back(shared: Apps) -> None:
    await begin(shared)
    app, flows = await deploy_wrong_code(shared)
    await flows.send_message("a", Paid(1))
    await flows.cancel("a")
    await flows.send_message("a", Paid(2))
    await app.stop()
    client = shared(execute=False)
    flows = client.register(right)
    async with client:
        panel = await flows.control_panel("a")
        assert panel is not None
        assert panel.status is Status.PARKED, "an app that runs no flows mends none"
        await panel.restart()
    repaired = shared()
    flows = repaired.register(right)
    async with repaired:
        assert await flows.completion("a") == "tea: [1, 2]"
    assert ran == []


async def test_a_message_moves_a_flow_that_an_operator_looks_at(shared: Apps) -> None:
    await begin(shared)
    app, flows = await deploy_wrong_code(shared)
    panel = await flows.control_panel("a")
    assert panel is not None
    await flows.send_message("a", Paid(1))
    with pytest.raises(FlowMoved):
        await panel.restart()
    await panel.refresh()
    await panel.restart()
    with pytest.raises(FlowParked):
        await flows.completion("a")
    assert stored_messages(app, "a")[-1] == '{"amount":1}'
    await app.stop()


async def test_what_is_sent_to_poison_is_there_when_an_operator_restarts_it(shared: Apps) -> None:
    @flow
    async def killer() -> int:
        ran.append("killed")
        if len(ran) <= 3:
            await Gate().pass_through()
        return (await message(Paid)).amount

    clock = VirtualClock()
    for deaths in range(3):
        hung = shared(clock=clock, poison_after=3)
        flows = hung.register(killer)
        await hung.start()
        if deaths == 0:
            await flows.schedule("a")
        await until(lambda times=deaths + 1: len(ran) == times)
        clock = VirtualClock(moment_of(clock.now()) + LEASE + timedelta(seconds=1))
    app = shared(clock=clock, poison_after=3)
    flows = app.register(killer)
    async with app:
        await clock.settle()
        assert (await row(app, "killer", "a")).status is Status.PARKED
        assert await flows.send_message("a", Paid(7)) is Delivery.ACCEPTED
        await clock.advance(HOUR)
        assert len(ran) == 3
        panel = await flows.control_panel("a")
        assert panel is not None
        assert await (await panel.restart()).completion() == 7


async def test_the_end_of_a_child_waits_for_a_parked_parent(shared: Apps) -> None:
    """Also if the child is deleted before the parent goes on: nobody could look at it then."""

    @flow
    async def child() -> int:
        return (await message(Paid)).amount

    @deployed
    async def parent() -> str:
        order = await message(str)
        return f"{order}: {await child.run('child')}"

    def both(app: Unbroken, code: Any) -> tuple[Any, Any]:
        return app.register(child), app.register(code)

    first = shared(suspend_after=AT_ONCE)
    children, parents = both(first, parent)
    async with first:
        await parents.schedule("a")
        await parents.send_message("a", "tea")
        await shared.clock.settle()
    bad = shared()
    children, parents = both(bad, wrong)
    async with bad:
        await parents.send_message("a", "wake")
        with pytest.raises(FlowParked):
            await parents.completion("a")
        await children.send_message("child", Paid(3))
        assert await children.completion("child") == 3
        await stays_parked(bad, shared.clock)
        assert await loose(bad)._store.delete_flow(children.name, "child")
    repaired = shared()
    children, parents = both(repaired, parent)
    async with repaired:
        assert await parents.completion("a") == "tea: 3"


def parent_of(code: Any) -> Any:
    @flow(name="parent")
    async def parent() -> str:
        text: str = await code.run("a")
        return text

    return parent


async def test_a_parked_child_is_cancelled_with_its_parent_when_it_goes_on(shared: Apps) -> None:
    first = shared(suspend_after=AT_ONCE)
    flows, parents = first.register(right), first.register(parent_of(right))
    async with first:
        await parents.schedule("p")
        await shared.clock.settle()
        await flows.send_message("a", "tea")
        await shared.clock.settle()
    bad = shared()
    flows, parents = bad.register(wrong), bad.register(parent_of(wrong))
    async with bad:
        await flows.send_message("a", "wake")
        with pytest.raises(FlowParked):
            await flows.completion("a")
        assert await parents.cancel("p") is Delivery.ACCEPTED
        with pytest.raises(FlowCancelled):
            await parents.completion("p")
        assert (await row(bad, "deployed", "a")).cancel
    repaired = shared()
    flows, parents = repaired.register(right), repaired.register(parent_of(right))
    async with repaired:
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
    assert ran == ["undo tea"]


async def test_a_flow_that_begins_to_wait_for_a_parked_one_hears_of_its_end(shared: Apps) -> None:
    await begin(shared)
    bad = shared(suspend_after=AT_ONCE)
    flows, parents = bad.register(wrong), bad.register(parent_of(wrong))
    async with bad:
        await flows.send_message("a", "wake")
        with pytest.raises(FlowParked):
            await flows.completion("a")
        await parents.schedule("p")
        await shared.clock.settle()
        view = await row(bad, "parent", "p")
        assert (view.status, view.owner, view.due_at) == (Status.LIVE, None, None)
        await flows.send_message("a", Paid(1))
    repaired = shared(suspend_after=AT_ONCE)
    flows, parents = repaired.register(right), repaired.register(parent_of(right))
    async with repaired:
        await flows.send_message("a", Paid(2))
        assert await parents.completion("p") == "tea: [1, 2]"


async def test_a_question_stays_with_a_parked_flow_and_is_answered_later(shared: Apps) -> None:
    @deployed
    async def asked() -> None:
        await message(str)
        order = await question(Paid)
        await order.answer(order.value.amount * 2)

    await begin(shared, asked)
    app, flows = await deploy_wrong_code(shared)
    for _ in range(2):
        with pytest.raises(FlowParked):
            await flows.ask("a", Paid(2), int, key="q")
    await app.stop()
    repaired = shared()
    flows = repaired.register(asked)
    async with repaired:
        await flows.completion("a")
        assert await flows.ask("a", Paid(2), int, key="q") == 4
