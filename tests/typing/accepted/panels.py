"""Control panels and initial states: the flow's own signature stays with them."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, assert_type
from uuid import UUID

from tests.typing.shop import FundsReserved, Order, Tracking, audits, orders, payments, shipments
from unbroken import (
    ControlPanel,
    Delivery,
    EffectInfo,
    ErrorInfo,
    InitialMessage,
    InitialState,
    Retry,
    Scheduled,
    Status,
    flow,
)


async def shown() -> None:
    panel = await orders.control_panel("MK-1")
    if panel is None:
        return
    assert_type(panel.id, str)
    assert_type(panel.status, Status)
    assert_type(panel.error, ErrorInfo | None)
    assert_type(panel.due_at, datetime | None)
    assert_type(panel.owner, str | None)
    assert_type(panel.failures, int)
    assert_type(panel.version, int)
    assert_type(panel.args, tuple[Any, ...])
    assert_type(panel.kwargs, dict[str, Any])
    assert_type(panel.result, str | None)
    assert_type(await panel.refresh(), None)


async def changed(order: Order) -> None:
    panel = await payments.control_panel("MK-1")
    assert panel is not None
    assert_type(panel.set_param(order), None)
    assert_type(panel.set_param(order, attempts=2), None)
    assert_type(panel.set_param(order=order), None)
    assert_type(await panel.save(), None)
    assert_type(await panel.restart(), Scheduled[Decimal])
    assert_type(await (await panel.restart()).completion(), Decimal)
    assert_type(panel.result, Decimal | None)
    trail = await audits.control_panel("A-1")
    if trail is not None:
        assert_type(trail.set_param("one", "two", level=3), None)
    shipment = await shipments.control_panel("S-1")
    if shipment is not None:
        assert_type(shipment.set_param(order, True), None)
        assert_type(await shipment.restart(), Scheduled[Tracking])


async def effects() -> None:
    panel = await orders.control_panel("MK-1")
    assert panel is not None
    assert_type(await panel.effects.all(), Sequence[EffectInfo])
    first = (await panel.effects.all())[0]
    assert_type(first.name, str)
    assert_type(first.kind, str)
    assert_type(first.error, ErrorInfo | None)
    assert_type(await panel.effects.get("transaction_id", UUID), UUID)
    assert_type(await panel.effects.get("lines", list), list[Any])
    assert_type(await panel.effects.remove("transaction_id"), None)


def as_argument(order: Order, panel: ControlPanel[[Order], str]) -> None:
    assert_type(panel.set_param(order), None)
    assert_type(panel.result, str | None)


async def initial(order: Order, batch: list[Order]) -> None:
    state = InitialState(
        effects={"transaction_id": UUID(int=1), "lines": ["a"]},
        failed={"ship": ValueError("x")},
        started=["fire_rocket"],
        messages=[FundsReserved(Decimal(1)), InitialMessage(FundsReserved(Decimal(2)), key="k")],
    )
    assert_type(state, InitialState)
    seeded = orders.options(initial=state)
    assert_type(await seeded.run("MK-1", order), str)
    assert_type(await seeded.schedule("MK-1", order), Scheduled[str])
    assert_type(await seeded.bulk_schedule(seeded.prepare(one.id, one) for one in batch), int)
    start = seeded.prepare("MK-1", order)
    assert_type(await orders.send_message("MK-1", "text", start=start), Delivery)
    assert_type(await payments.options(initial=InitialState()).run("P", order, attempts=2), Decimal)
    assert_type(await orders.options(initial=None, strict=True).run("MK-1", order), str)


@flow(retry=Retry(3), aliases=["former"], version=2)
async def retried(order: Order) -> Tracking:
    return Tracking(order.id)
