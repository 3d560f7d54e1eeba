"""Stored data that the code cannot read: that flow is parked with the path, others go on."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, stored_messages
from tests.flows.database import change
from unbroken import FlowFailed, FlowParked, capture, current_flow, flow, message


class Color(Enum):
    RED = "red"


@dataclass
class Line:
    price: float
    extra: object = None


@dataclass
class Order:
    id: int
    lines: list[Line] = field(default_factory=list)


@flow
async def take_order(order: Order) -> int:
    return order.id


@flow
async def wait_for_text() -> str:
    return await message(str)


async def test_a_message_that_the_code_cannot_read_parks_only_that_flow(
    shared: Apps,
) -> None:
    @dataclass
    class Paid:
        amount: int

    Paid.__qualname__ = "Paid"

    @flow
    async def paying() -> int:
        return (await message(Paid)).amount

    app = shared(suspend_after=AT_ONCE)
    flows, others = app.register(paying), app.register(wait_for_text)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
        await flows.send_message("a", Paid(1))

    _spoil(app, 'UPDATE messages SET body = \'{"amount": "many"}\'')
    app = shared()
    flows, others = app.register(paying), app.register(wait_for_text)
    async with app:
        with pytest.raises(FlowParked, match="amount"):
            await flows.completion("a")
        assert len(stored_messages(app, "a")) == 1
        scheduled = await others.schedule("b")
        await others.send_message("b", "fine")
        assert await scheduled.completion() == "fine"


async def test_arguments_that_the_code_cannot_read_park_the_flow_with_the_path(
    shared: Apps,
) -> None:
    app = shared(execute=False)
    flows = app.register(take_order)
    async with app:
        await flows.schedule("a", Order(1, [Line(2.0)]))
    _spoil(app, "UPDATE flows SET param = replace(param, '2.0', '\"two\"')")
    app = shared()
    flows = app.register(take_order)
    async with app:
        with pytest.raises(FlowParked, match=r"\$\.order\.lines\[0\]\.price"):
            await flows.completion("a")


async def test_a_result_that_the_code_cannot_read_parks_the_flow(shared: Apps) -> None:
    def color() -> Color:
        return Color.RED

    @flow
    async def painting() -> None:
        await capture(color)
        await message(str)

    app = shared()
    flows = app.register(painting)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
    _spoil(app, "UPDATE effects SET body = '\"mauve\"'")
    app = shared()
    flows = app.register(painting)
    async with app:
        await flows.send_message("a", "go on")
        with pytest.raises(FlowParked, match="expected Color"):
            await flows.completion("a")


def _spoil(app: Any, statement: str) -> None:
    assert change(app, statement) == 1


async def test_effects_looked_up_by_a_wrong_type_park_the_flow_or_say_so(apps: Apps) -> None:
    @flow
    async def looking() -> None:
        await capture("text", lambda: "seven")
        current_flow().effects.get("text", int)

    app = apps()
    flows = app.register(looking)
    async with app:
        with pytest.raises((FlowFailed, FlowParked)):
            await flows.run("a")
