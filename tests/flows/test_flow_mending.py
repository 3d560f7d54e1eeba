"""Parked flows go on after a repaired deploy: each start of an app lets them try again."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import LEASE, Apps, Gate, events_of, names_of, row, until
from tests.flows.database import change
from unbroken import (
    DeserializationError,
    FlowParked,
    ReplayMismatch,
    Status,
    StoreCorrupt,
    capture,
    flow,
    message,
)
from unbroken.engine.scope import SCOPE
from unbroken.model.clock import moment_of
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)


@dataclass
class Order:
    id: str


def deployed(code: Callable[..., Any]) -> Any:
    return flow(name="deployed")(code)


@deployed
async def right() -> str:
    await capture("a", str)
    text = await message(str)
    return f"{text}, then {await message(str)}"


@deployed
async def wrong() -> str:
    await capture("a", str)
    await capture("message:str", str)
    return "went wrong"


async def start(shared: Apps) -> None:
    """Begin a flow that has read one message and waits for another."""
    app = shared()
    flows = app.register(right)
    async with app:
        await flows.schedule("a")
        await flows.send_message("a", "one")
        await shared.clock.settle()


async def park(shared: Apps) -> None:
    """Deploy wrong code: it asks for a capture where the journal holds a message."""
    app = shared()
    flows = app.register(wrong)
    async with app:
        await flows.send_message("a", "two")
        with pytest.raises(FlowParked, match="the code asks for a capture, the journal holds a"):
            await flows.completion("a")
        assert (await row(app, "deployed", "a")).status is Status.PARKED


async def test_a_flow_parked_by_a_mismatch_goes_on_with_repaired_code(shared: Apps) -> None:
    await start(shared)
    await park(shared)
    app = shared()
    events = events_of(app)
    flows = app.register(right)
    async with app:
        assert await flows.completion("a") == "one, then two"
        assert (await row(app, "deployed", "a")).error is None
    assert "flows.mended" in names_of(events)


async def test_code_that_is_still_wrong_parks_it_again(shared: Apps) -> None:
    await start(shared)
    for _ in range(3):
        await park(shared)
    app = shared()
    flows = app.register(right)
    async with app:
        assert await flows.completion("a") == "one, then two"


async def test_who_waited_was_told_that_it_parked(shared: Apps) -> None:
    await start(shared)
    first = shared()
    flows = first.register(wrong)
    async with first:
        waiting = asyncio.create_task(flows.completion("a"))
        await flows.send_message("a", "two")
        with pytest.raises(FlowParked) as parked:
            await waiting
        assert parked.value.error.type.endswith(ReplayMismatch.__name__)
        second = shared()
        repaired = second.register(right)
        async with second:
            await shared.clock.advance(SECOND)
            assert await repaired.completion("a") == "one, then two"


async def test_a_flow_parked_by_arguments_that_do_not_fit_goes_on(shared: Apps) -> None:
    @deployed
    async def first(order: str) -> str:
        return order + await message(str)

    @deployed
    async def second(order: Order) -> str:
        return order.id + await message(str)

    app = shared()
    flows = app.register(first)
    async with app:
        await flows.schedule("a", "x")
        await shared.clock.settle()
    app = shared()
    flows = app.register(second)
    async with app:
        await flows.send_message("a", "y")
        with pytest.raises(FlowParked) as parked:
            await flows.completion("a")
        assert parked.value.error.type.endswith(DeserializationError.__name__)
    app = shared()
    flows = app.register(first)
    async with app:
        assert await flows.completion("a") == "xy"


async def test_a_renamed_flow_type_is_mended_under_its_former_name(shared: Apps) -> None:
    await start(shared)
    await park(shared)
    app = shared()
    flows = app.register(flow(name="renamed", aliases=["deployed"])(right.definition.function))
    async with app:
        assert await flows.completion("a") == "one, then two"


async def test_a_client_and_an_app_of_other_flows_mend_nothing(shared: Apps) -> None:
    await start(shared)
    await park(shared)
    client, other = shared(execute=False), shared()
    client.register(right)
    other.register(flow(name="other")(right.definition.function))
    async with client, other:
        await shared.clock.advance(SECOND)
        assert (await row(client, "deployed", "a")).status is Status.PARKED


async def test_an_app_that_mends_nothing_says_nothing(shared: Apps) -> None:
    app = shared()
    events = events_of(app)
    app.register(right)
    async with app:
        await shared.clock.settle()
    assert "flows.mended" not in names_of(events)


async def test_a_flow_that_the_store_could_not_read_is_not_mended(shared: Apps) -> None:
    @deployed
    async def unreadable() -> str:
        raise SCOPE.get().incarnation.park(StoreCorrupt("a row"))

    app = shared()
    flows = app.register(unreadable)
    async with app:
        with pytest.raises(FlowParked, match="StoreCorrupt"):
            await flows.run("a")
    app = shared()
    app.register(right)
    async with app:
        await shared.clock.settle()
        assert (await row(app, "deployed", "a")).status is Status.PARKED


async def test_a_damaged_flow_is_not_mended(shared: Apps) -> None:
    await start(shared)
    app = shared()
    change(app, "UPDATE flows SET parents = 'no JSON'")
    for _ in range(2):
        app = shared()
        events = events_of(app)
        flows = app.register(right)
        async with app:
            await flows.send_message("a", "two")
            await shared.clock.settle()
            found = await app._store.find("deployed", "a")
            assert found is not None
            assert found.status is Status.PARKED
        assert "flows.mended" not in names_of(events)


async def test_a_poison_flow_is_not_mended_but_may_be_restarted(shared: Apps) -> None:
    gate, begun = Gate(), []

    @deployed
    async def takes_its_process_down() -> str:
        begun.append(1)
        await gate.pass_through()
        return "through"

    clock = VirtualClock()
    for deaths in range(2):
        hung = shared(clock=clock, poison_after=2)
        flows = hung.register(takes_its_process_down)
        await hung.start()
        if deaths == 0:
            await flows.schedule("a")
        await until(lambda times=deaths + 1: len(begun) == times)
        # The next process begins when this one, whose clock stands still, is dead.
        clock = VirtualClock(moment_of(clock.now()) + 2 * LEASE)
    for _ in range(2):
        app = shared(clock=clock, poison_after=2)
        flows = app.register(takes_its_process_down)
        async with app:
            await clock.settle()
            with pytest.raises(FlowParked, match="PoisonFlow"):
                await flows.completion("a")
    app = shared(clock=clock)
    flows = app.register(takes_its_process_down)
    gate.open()
    async with app:
        panel = await flows.control_panel("a")
        assert panel is not None
        assert await (await panel.restart()).completion() == "through"
