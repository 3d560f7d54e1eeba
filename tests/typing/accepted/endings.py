"""Cancel, time-outs, children's policies, sagas, and flows that continue as new."""

from datetime import timedelta
from decimal import Decimal
from typing import assert_type
from uuid import uuid4

from tests.typing.shop import InvoiceFlow, Order, order_flow, orders, payment_flow
from unbroken import Delivery, Retry, Saga, capture, current_flow, flow, saga


@flow(timeout=timedelta(hours=1), retry=Retry(3), version=2)
async def limited(order: Order) -> Decimal:
    return order.total


async def parent_of_limited(order: Order) -> None:
    assert_type(await limited.run("L-1", order), Decimal)


async def release(order: Order, *, quietly: bool = False) -> None:
    print(order, quietly)


@flow
async def parent(order: Order) -> Decimal:
    assert_type(await order_flow.options(on_cancel="leave").run("MK-1", order), str)
    waited = payment_flow.options(on_cancel="wait")
    async with saga() as way_back:
        assert_type(way_back, Saga)
        way_back.undo(release, order, quietly=True)
        way_back.undo("give up", lambda: print("given up"))
        way_back.undo(uuid4)
        await capture(release, order)
    return assert_type(await waited.run("P-1", order), Decimal)


@flow
async def counter(total: int, *, by: int = 1) -> int:
    if total > 1000:
        return total
    await counter.continue_as_new(total + by, by=by)


@flow
async def of_a_class(order: Order) -> Decimal:
    invoices = current_flow().flows(InvoiceFlow)
    assert_type(await invoices.options(on_cancel="leave").run("I-1", order.customer), Decimal)
    await invoices.continue_as_new(order.customer)


async def operator(order: Order) -> None:
    assert_type(await orders.options(on_cancel="wait").run("MK-1", order), str)
    assert_type(await orders.cancel("MK-1"), Delivery)
