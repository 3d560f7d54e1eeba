"""The handle: start, await, send, list."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_type
from uuid import UUID

from tests.typing.shop import (
    FundsReserved,
    Order,
    Tracking,
    audits,
    invoices,
    orders,
    payments,
    shipments,
    users,
)
from unbroken import Delivery, Envelope, FlowInfo, MessageWriter, Scheduled, Status


async def run(order: Order, customer: UUID) -> None:
    assert_type(await orders.run("MK-1", order), str)
    assert_type(await orders.run("MK-1", order=order), str)
    assert_type(await payments.run("MK-1", order, attempts=2), Decimal)
    assert_type(await invoices.run("I-1", customer), Decimal)
    assert_type(await shipments.run("S-1", order, True), Tracking)
    assert_type(await audits.run("A-1"), None)
    assert_type(await audits.run("A-1", "one", "two", level=3), None)


async def an_id_of_its_own(customer: UUID) -> None:
    assert_type(await users.run("U-1", customer, "ann"), tuple[UUID, str])
    assert_type(await users.run("U-1", id=customer, name="ann"), tuple[UUID, str])
    assert_type(await users.schedule("U-1", id=customer, name="ann"), Scheduled[tuple[UUID, str]])


async def schedule(order: Order, moment: datetime) -> None:
    assert_type(await orders.schedule("MK-1", order), Scheduled[str])
    assert_type(await orders.schedule_at("MK-1", moment, order), Scheduled[str])
    assert_type(await orders.schedule_in("MK-1", timedelta(days=1), order=order), Scheduled[str])
    assert_type(await shipments.schedule("S-1", order), Scheduled[Tracking])
    delayed = await payments.schedule_in("P-1", timedelta(days=1), order, attempts=1)
    assert_type(delayed, Scheduled[Decimal])


async def completion(order: Order) -> None:
    scheduled = await orders.schedule("MK-1", order)
    assert_type(scheduled.id, str)
    assert_type(await scheduled.completion(), str)
    assert_type(await scheduled.completion(timeout=timedelta(seconds=5)), str)
    assert_type(await orders.completion("MK-1"), str)
    assert_type(await shipments.completion("S-1", timeout=timedelta(seconds=5)), Tracking)


async def bulk(batch: list[Order]) -> None:
    assert_type(await orders.bulk_schedule(orders.prepare(one.id, one) for one in batch), int)
    assert_type(await orders.bulk_schedule([orders.prepare("MK-1", order=batch[0])]), int)
    assert_type(await payments.bulk_schedule([payments.prepare("P", batch[0], attempts=1)]), int)
    assert_type(orders.prepare("MK-1", batch[0]).id, str)


async def options(order: Order, batch: list[Order]) -> None:
    detached = orders.options(detached=True)
    assert_type(await detached.run("MK-1", order), str)
    assert_type(await orders.options(strict=True, detached=False).run("MK-1", order), str)
    assert_type(await payments.options().schedule("P", order, attempts=2), Scheduled[Decimal])
    assert_type(await detached.bulk_schedule(orders.prepare(one.id, one) for one in batch), int)


async def messages(reserved: FundsReserved) -> None:
    assert_type(await orders.send_message("MK-1", reserved), Delivery)
    assert_type(await orders.send_message("MK-1", reserved, key="reserved"), Delivery)
    envelopes = [Envelope("MK-1", reserved), Envelope("MK-2", "text", key="k")]
    assert_type(await orders.send_messages(envelopes), list[Delivery])
    assert_type(await orders.send_messages((Envelope(id="MK-1", message=1),)), list[Delivery])
    assert_type(orders.message_writer("MK-1"), MessageWriter)
    assert_type(await orders.message_writer("MK-1").append(reserved), Delivery)
    assert_type(await orders.message_writer("MK-1").append(reserved, key="reserved"), Delivery)


async def listed() -> None:
    assert_type(await orders.list(), Sequence[FlowInfo])
    assert_type(await orders.list(Status.LIVE, Status.PARKED, limit=10), Sequence[FlowInfo])
    last = (await orders.list(after=7))[-1]
    assert_type(last.number, int)
    assert_type(last.status, Status)
    assert_type(last.due_at, datetime | None)
    assert_type(last.owner, str | None)
