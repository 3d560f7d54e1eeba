"""Wrong uses of the handle."""

from datetime import datetime, timedelta
from uuid import UUID

from tests.typing.shop import FundsReserved, Order, orders, payments, shipments, users
from unbroken import Envelope


async def run(order: Order, customer: UUID) -> None:
    await orders.run()  # refused: argument
    await orders.run("MK-1")  # refused: argument
    await orders.run(order)  # refused: argument
    await orders.run(1, order)  # refused: argument
    await orders.run("MK-1", 42)  # refused: argument
    await orders.run("MK-1", order, order)  # refused: argument
    await orders.run("MK-1", ordre=order)  # refused: argument
    await orders.run("MK-1", order, timeout=timedelta(1))  # refused: argument
    await orders.run(id="MK-1", order=order)  # refused: argument
    await payments.run("P-1", order, 3)  # refused: argument
    await payments.run("P-1", order, attempts="3")  # refused: argument
    await users.run("U-1", name="ann")  # refused: argument
    await users.run(id=customer, name="ann")  # refused: argument
    orders.run("MK-1", order)  # refused: await
    number: int = await orders.run("MK-1", order)  # refused: result
    print(number)


async def schedule(order: Order, moment: datetime) -> None:
    await orders.schedule("MK-1")  # refused: argument
    await orders.schedule("MK-1", "order")  # refused: argument
    await orders.schedule_at("MK-1", order)  # refused: argument
    await orders.schedule_at("MK-1", timedelta(1), order)  # refused: argument
    await orders.schedule_at("MK-1", moment, "order")  # refused: argument
    await orders.schedule_in("MK-1", moment, order)  # refused: argument
    await orders.schedule_in("MK-1", 60, order)  # refused: argument
    await orders.schedule_in("MK-1", timedelta(1), order, order)  # refused: argument
    orders.schedule("MK-1", order)  # refused: await
    orders.schedule_at("MK-1", moment, order)  # refused: await
    orders.schedule_in("MK-1", timedelta(1), order)  # refused: await


async def completion(order: Order) -> None:
    scheduled = await orders.schedule("MK-1", order)
    await scheduled.completion(timeout=5)  # refused: argument
    await scheduled.completion(timedelta(1))  # refused: argument
    scheduled.completion()  # refused: await
    number: int = await scheduled.completion()  # refused: result
    await orders.completion()  # refused: argument
    await orders.completion("MK-1", timeout=5)  # refused: argument
    orders.completion("MK-1")  # refused: await
    number = await shipments.completion("S-1")  # refused: result
    print(number)


async def bulk(order: Order) -> None:
    orders.prepare("MK-1")  # refused: argument
    orders.prepare("MK-1", "order")  # refused: argument
    orders.prepare("MK-1", order, 3)  # refused: argument
    await orders.bulk_schedule([payments.prepare("P-1", order)])  # refused: argument
    await orders.bulk_schedule(shipments.prepare(id, order) for id in "ab")  # refused: argument
    await orders.bulk_schedule([("MK-1", order)])  # refused: argument
    await orders.bulk_schedule(orders.prepare("MK-1", order))  # refused: argument
    orders.bulk_schedule([orders.prepare("MK-1", order)])  # refused: await


async def options(order: Order) -> None:
    orders.options(detach=True)  # refused: argument
    orders.options(detached="yes")  # refused: argument
    orders.options(True)  # refused: argument
    await orders.options(detached=True).run("MK-1", "order")  # refused: argument
    detached = orders.options(detached=True)
    await detached.bulk_schedule([payments.prepare("P-1", order)])  # refused: argument


async def messages(reserved: FundsReserved) -> None:
    await orders.send_message("MK-1")  # refused: argument
    await orders.send_message("MK-1", reserved, "reserved")  # refused: argument
    await orders.send_message("MK-1", reserved, key=5)  # refused: argument
    orders.send_message("MK-1", reserved)  # refused: await
    await orders.send_messages([("MK-1", reserved)])  # refused: argument
    await orders.send_messages(Envelope("MK-1", reserved))  # refused: argument
    orders.send_messages([Envelope("MK-1", reserved)])  # refused: await
    Envelope("MK-1")  # refused: argument
    Envelope(1, reserved)  # refused: argument
    await orders.message_writer().append(reserved)  # refused: argument
    await orders.message_writer("MK-1").append()  # refused: argument
    await orders.message_writer("MK-1").append(reserved, key=5)  # refused: argument
    orders.message_writer("MK-1").append(reserved)  # refused: await


async def listed() -> None:
    await orders.list("live")  # refused: argument
    await orders.list(limit="10")  # refused: argument
    orders.list()  # refused: await
    (await orders.list())[0].due_at.year  # refused: attribute
