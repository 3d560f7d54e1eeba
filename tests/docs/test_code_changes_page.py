"""What the page on code changes says of its own examples."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT, blocks_of
from unbroken import FlowParked, Status, Unbroken, capture, effect, flow, message
from unbroken.testing import VirtualClock

PAGE = ROOT / "docs" / "code-changes.md"


@pytest.fixture
def example() -> Iterator[Any]:
    """Import the one block of the page that contains a text."""
    with ExitStack() as stack:

        def imported(text: str) -> Any:
            (block,) = [block for block in blocks_of(PAGE) if text in block.source]
            return stack.enter_context(block.imported())

        yield imported


class Deploys:
    """Deploys of one flow on one file."""

    def __init__(self, folder: Path) -> None:
        self._url = f"sqlite:///{folder / 'flows.db'}"
        self.clock = VirtualClock()

    def __call__(self, definition: Any) -> tuple[Unbroken, Any]:
        app = Unbroken(self._url, clock=self.clock)
        return app, app.register(definition)

    async def start(self, definition: Any) -> None:
        app, flows = self(definition)
        async with app:
            await flows.schedule("1", "tea")
            await self.clock.settle()


@pytest.fixture
def deploys(tmp_path: Path) -> Deploys:
    return Deploys(tmp_path)


async def ship_and_wait(aliases: list[str] | None, name: str, ran: list[str]) -> str:
    async def body(order: str) -> str:
        ran.append(name)
        return f"{name} {order}"

    tracking = await effect(body, name=name, at_most_once=True, aliases=aliases)("tea")
    await message(str)
    return tracking


async def test_the_renamed_effect_of_the_page_finds_its_result(
    deploys: Deploys, example: Any
) -> None:
    ran: list[str] = []

    @flow(name="order_flow")
    async def before(order: str) -> str:
        return await ship_and_wait(None, "ship", ran)

    await deploys.start(before)
    app, orders = deploys(example("it was called `ship` until May").order_flow)
    async with app:
        await orders.send_message("1", "go")
        assert await orders.completion("1") == "ship tea"
    assert ran == ["ship"]


async def test_the_flow_of_the_page_takes_both_ways(deploys: Deploys, example: Any) -> None:
    page = example("if patched(")
    ran: list[str] = []

    async def check_fraud(order: str) -> None:
        ran.append(order)

    page.check_fraud = check_fraud

    @flow(name="order_flow")
    async def before(order: str) -> None:
        await capture(page.reserve, order)
        await message(page.Paid)
        await capture(page.ship, order)
        await message(page.Paid)

    app, orders = deploys(before)
    async with app:
        for id, order in (("waits", "tea"), ("past", "rum")):
            await orders.schedule(id, order)
        await orders.send_message("past", page.Paid(7))
        await deploys.clock.settle()
    app, orders = deploys(page.order_flow)
    async with app:
        for id in ("waits", "past"):
            await orders.send_message(id, page.Paid(7))
            await orders.completion(id)
    assert ran == ["tea"]


async def test_the_versions_of_the_page_go_their_ways(deploys: Deploys, example: Any) -> None:
    page = example("pay_by_invoice")

    @flow(name="order_flow")
    async def before(order: str) -> None:
        await message(str)

    await deploys.start(before)
    app, orders = deploys(page.order_flow)
    async with app:
        await orders.send_message("1", "go")
        assert await orders.completion("1") == "invoice"
        assert await orders.run("2", "tea") == "card"


async def test_the_page_shows_parked_flows_and_why(deploys: Deploys, example: Any) -> None:
    show_parked = example("async def show_parked").show_parked
    ran: list[str] = []

    @flow(name="order_flow")
    async def before(order: str) -> str:
        return await ship_and_wait(None, "ship", ran)

    @flow(name="order_flow")
    async def after(order: str) -> str:
        return await ship_and_wait(None, "deliver", ran)

    await deploys.start(before)
    app, orders = deploys(after)
    async with app:
        await orders.send_message("1", "go")
        with pytest.raises(FlowParked):
            await orders.completion("1")
        (reason,) = await show_parked(orders)
        assert reason.startswith("1: ")
        assert "aliases=['ship']" in reason
        panel = await orders.control_panel("1")
        assert panel.status is Status.PARKED
        await panel.effects.remove("ship")
        await panel.restart()
        assert await orders.completion("1") == "deliver tea"
    assert ran == ["ship", "deliver"]
