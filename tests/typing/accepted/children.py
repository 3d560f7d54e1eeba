"""Flows inside flows: in place, as children, and what a flow may know about itself."""

from decimal import Decimal
from typing import assert_type
from uuid import UUID, uuid4

from tests.typing.shop import (
    InvoiceFlow,
    Order,
    ShipFlow,
    Tracking,
    order_flow,
    orders,
    payment_flow,
    shipments,
    user_flow,
)
from unbroken import Scheduled, current_flow, flow, gather


@flow
async def parent(order: Order) -> Decimal:
    assert_type(await order_flow(order), str)
    assert_type(await order_flow.run("MK-1", order), str)
    assert_type(await payment_flow.run("P-1", order, attempts=1), Decimal)
    assert_type(await user_flow.run("U-1", id=order.customer, name="ann"), tuple[UUID, str])
    assert_type(await order_flow.schedule("MK-2", order=order), Scheduled[str])
    scheduled = await payment_flow.schedule("P-2", order)
    assert_type(scheduled, Scheduled[Decimal])
    return assert_type(await scheduled.completion(), Decimal)


@flow
async def parent_of_classes(order: Order) -> Tracking:
    assert_type(await current_flow().flows(InvoiceFlow).run("I-1", order.customer), Decimal)
    ships = current_flow().flows(ShipFlow)
    assert_type(await ships.schedule("S-1", order), Scheduled[Tracking])
    assert_type(await (await ships.schedule("S-1", order)).completion(), Tracking)
    return assert_type(await ships.run("S-2", order, express=True), Tracking)


@flow
async def parent_by_handle(order: Order) -> None:
    assert_type(await orders.run("MK-1", order), str)
    assert_type(await shipments.options(detached=True).run("S-1", order), Tracking)


@flow
async def parent_of_several(order: Order) -> None:
    both = gather(order_flow.run("MK-1", order), payment_flow.run("P-1", order))
    assert_type(await both, tuple[str, Decimal])
    newsletters = [order_flow.run(f"MK-{number}", order) for number in range(3)]
    assert_type(await gather(*newsletters), tuple[str, ...])


@flow
async def about_itself() -> None:
    assert_type(current_flow().id, str)
    assert_type(current_flow().type, str)
    assert_type(current_flow().incarnation, int)
    assert_type(current_flow().replaying, bool)


@flow
async def recorded_effects() -> None:
    effects = current_flow().effects
    assert_type(effects.contains("transaction"), bool)
    assert_type(effects.get("transaction", UUID), UUID)
    assert_type(effects.get("names", list[str]), list[str])
    assert_type(effects.try_get("is_paid", bool), bool | None)
    assert_type(effects.try_get("order", Order), Order | None)
    assert_type(await effects.create_or_get("transaction", uuid4()), UUID)
    assert_type(await effects.mark("started"), bool)
