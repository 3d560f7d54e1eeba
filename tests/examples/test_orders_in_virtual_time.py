"""Orders, transfers and newsletters from beginning to end, with their world in a list."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.examples.test_examples_in_virtual_time import imported
from unbroken import Delivery, FlowFailed, InitialState, Unbroken
from unbroken.testing import VirtualClock


@pytest.fixture
def calls() -> list[str]:
    return []


async def test_order_by_calls_makes_each_call_once_with_one_payment(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with imported("order_rpc") as example:
        monkeypatch.setattr(example, "note", calls.append)
        monkeypatch.setattr(example, "SECONDS", 0)
        app = Unbroken("sqlite://", clock=VirtualClock())
        orders = app.register(example.order_flow)
        order = example.Order("MK-1", "ann", "a book", Decimal("19.90"))
        async with app:
            assert await orders.run("MK-1", order) == "TRACK-1"
        assert [call.split()[0] for call in calls] == ["reserve", "ship", "take", "write"]
        assert calls[0].split()[-1] == calls[2].split()[-1]


async def test_order_by_calls_does_not_ship_again_what_may_have_been_shipped(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with imported("order_rpc") as example:
        monkeypatch.setattr(example, "note", calls.append)
        monkeypatch.setattr(example, "SECONDS", 0)
        app = Unbroken("sqlite://", clock=VirtualClock())
        orders = app.register(example.order_flow)
        order = example.Order("MK-1", "ann", "a book", Decimal("19.90"))
        begun = InitialState(started=["ship"])
        async with app:
            with pytest.raises(FlowFailed, match="ship"):
                await orders.options(initial=begun).run("MK-1", order)
        assert [call.split()[0] for call in calls] == ["reserve"]


async def test_order_by_messages_asks_for_one_thing_after_the_other(tmp_path: Path) -> None:
    with imported("order_messages") as example:
        bus = example.Bus(tmp_path / "bus")
        clock = VirtualClock()
        app = Unbroken("sqlite://", clock=clock)
        orders: Any = app.register(example.OrderFlow, lambda: example.OrderFlow(bus))
        async with app:
            order = await orders.schedule("MK-1", example.Order("MK-1", "a book"))
            for command in ("reserve-funds", "ship-products", "take-funds"):
                await clock.settle()
                asked, _, payment = bus.file.read_text().splitlines()[-1].split()
                assert asked == command
                answer = example.answer_to(command, example.UUID(payment))
                assert await orders.send_message("MK-1", answer) is Delivery.ACCEPTED
            assert await order.completion() == "TRACK-1"
        assert orders.name == "OrderFlow"


async def test_transfer_moves_the_money_or_rolls_back(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with imported("money_transfer") as example:
        monkeypatch.setattr(example.Bank, "add", lambda _, line: calls.append(line))
        monkeypatch.setattr(example, "SECONDS", 0)
        app = Unbroken("sqlite://", clock=VirtualClock())
        transfers = app.register(example.transfer)
        async with app:
            await transfers.run("T-1", "ann", "bob", Decimal(100))
            assert [call.split()[0] for call in calls] == ["start"] * 2 + ["complete"] * 2
            calls.clear()
            with pytest.raises(FlowFailed, match="takes no money"):
                await transfers.run("T-2", "ann", "closed", Decimal(50))
            assert [call.split()[0] for call in calls] == ["start", "refuse", "roll-back"]


async def test_newsletter_reaches_each_customer_once_through_its_children(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with imported("newsletter") as example:
        monkeypatch.setattr(example, "note", calls.append)
        monkeypatch.setattr(example, "SECONDS", 0)
        app = Unbroken("sqlite://", clock=VirtualClock())
        newsletters = app.register(example.newsletter)
        parts = app.register(example.newsletter_part)
        async with app:
            assert await newsletters.run("spring", "offers", example.CUSTOMERS) == 9
            assert len(await parts.list()) == example.PARTS
        assert sorted(calls) == sorted(example.CUSTOMERS)
