"""Wrong uses of questions and of published state."""

from datetime import datetime, timedelta

from tests.typing.shop import FundsReserved, Order, OrderCancelled, Tracking, orders
from unbroken import current_flow, flow, question

SHORT = timedelta(seconds=5)


def is_large(reserved: FundsReserved) -> bool:
    return reserved.amount > 0


@flow
async def waits(moment: datetime) -> None:
    await question()  # refused: argument
    await question("FundsReserved")  # refused: argument
    await question([FundsReserved])  # refused: argument
    await question(FundsReserved, timeout=5)  # refused: argument
    await question(FundsReserved, until=SHORT)  # refused: argument
    await question(FundsReserved, timeout=SHORT, until=moment)  # refused: argument
    await question(OrderCancelled, where=is_large)  # refused: argument
    await question(OrderCancelled, validate=is_large)  # refused: argument
    await question(FundsReserved, OrderCancelled, validate=is_large)  # refused: argument
    await question(FundsReserved, validate=lambda m: m.reason)  # refused: attribute
    question(FundsReserved)  # refused: await


@flow
async def replies() -> None:
    asked = await question(FundsReserved)
    asked.value.reason  # refused: attribute
    await asked.answer()  # refused: argument
    await asked.refuse()  # refused: argument
    await asked.refuse(5)  # refused: argument
    asked.answer("yes")  # refused: await
    asked.refuse("no")  # refused: await
    limited = await question(FundsReserved, timeout=SHORT)
    await limited.answer("yes")  # refused: attribute


async def asking(reserved: FundsReserved) -> None:
    await orders.ask("MK-1", reserved)  # refused: argument
    await orders.ask(1, reserved, Tracking)  # refused: argument
    await orders.ask("MK-1", reserved, "Tracking")  # refused: argument
    await orders.ask("MK-1", reserved, Tracking, timeout=5)  # refused: argument
    await orders.ask("MK-1", reserved, Tracking, key=5)  # refused: argument
    await orders.ask("MK-1", reserved, Tracking, SHORT)  # refused: argument
    orders.ask("MK-1", reserved, Tracking)  # refused: await
    number: int = await orders.ask("MK-1", reserved, Tracking)  # refused: result
    print(number)


@flow
async def publishing(order: Order) -> None:
    current_flow().publish(order)  # refused: await
    await current_flow().publish()  # refused: argument
    await current_flow().publish(order, order)  # refused: argument


async def state() -> None:
    await orders.state("MK-1")  # refused: argument
    await orders.state("MK-1", "Order")  # refused: argument
    await orders.state(1, Order)  # refused: argument
    orders.state("MK-1", Order)  # refused: await
    (await orders.state("MK-1", Order)).total  # refused: attribute
    order: Order = await orders.state("MK-1", Order)  # refused: result
    print(order)
