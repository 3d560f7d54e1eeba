"""Wrong uses of children and of what a flow knows about itself."""

from decimal import Decimal
from uuid import UUID

from tests.typing.shop import (
    Bus,
    InvoiceFlow,
    Order,
    PlainRun,
    ShipFlow,
    order_flow,
    payment_flow,
    user_flow,
)
from unbroken import current_flow, flow


@flow
async def parent(order: Order) -> None:
    await order_flow.run(order)  # refused: argument
    await order_flow.run("MK-1")  # refused: argument
    await order_flow.run("MK-1", "order")  # refused: argument
    await payment_flow.run("P-1", order, attempt=1)  # refused: argument
    await user_flow.run(id=order.customer, name="ann")  # refused: argument
    await payment_flow.schedule("P-1", order, 3)  # refused: argument
    order_flow.run("MK-1", order)  # refused: await
    order_flow.schedule("MK-1", order)  # refused: await
    number: int = await order_flow.run("MK-1", order)  # refused: result
    number = await (await order_flow.schedule("MK-1", order)).completion()  # refused: result
    print(number)


@flow
async def parent_of_classes(order: Order) -> None:
    await current_flow().flows(ShipFlow).run("S-1")  # refused: argument
    await current_flow().flows(ShipFlow).run("S-1", "order")  # refused: argument
    await current_flow().flows(ShipFlow).run("S-1", order, fast=True)  # refused: argument
    await current_flow().flows(InvoiceFlow).schedule("I-1", order)  # refused: argument
    current_flow().flows(ShipFlow).run("S-1", order)  # refused: await
    current_flow().flows(ShipFlow).schedule("S-1", order)  # refused: await
    current_flow().flows(order_flow)  # refused: argument
    current_flow().flows(ShipFlow(Bus()))  # refused: argument
    current_flow().flows(PlainRun)  # refused: argument
    total: Decimal = await current_flow().flows(ShipFlow).run("S-1", order)  # refused: result
    print(total)


@flow
async def recorded_effects() -> None:
    effects = current_flow().effects
    effects.get("transaction")  # refused: argument
    effects.get("transaction", "UUID")  # refused: argument
    number: int = effects.get("transaction", UUID)  # refused: result
    is_paid: bool = effects.try_get("is_paid", bool)  # refused: result
    effects.mark("started")  # refused: await
    effects.create_or_get("number", 5)  # refused: await
    print(number, is_paid)
