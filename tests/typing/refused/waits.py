"""Waits for what cannot come, limits that are none, and what follows a wait."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

from tests.typing.shop import FundsReserved, OrderCancelled, ProductsShipped
from unbroken import flow, message, now, postpone, sleep, sleep_until, suspend

Reply: TypeAlias = FundsReserved | OrderCancelled
SHORT = timedelta(seconds=5)


@flow
async def types(moment: datetime) -> None:
    await message()  # refused: argument
    await message("FundsReserved")  # refused: argument
    await message(FundsReserved(Decimal(1)))  # refused: argument
    await message(Reply)  # refused: argument
    await message(FundsReserved | OrderCancelled)  # refused: argument
    await message([FundsReserved, OrderCancelled])  # refused: argument


@flow
async def limits(moment: datetime) -> None:
    await message(FundsReserved, timeout=5)  # refused: argument
    await message(FundsReserved, timeout=moment)  # refused: argument
    await message(FundsReserved, until=SHORT)  # refused: argument
    await message(FundsReserved, until="tomorrow")  # refused: argument
    await message(FundsReserved, timeout=SHORT, until=moment)  # refused: argument
    await message(FundsReserved, OrderCancelled, timeout=SHORT, until=moment)  # refused: argument
    await message(FundsReserved, suspend_after=5)  # refused: argument
    await message(FundsReserved, max_wait=SHORT)  # refused: argument


def is_large(reserved: FundsReserved) -> bool:
    return reserved.amount > 0


@flow
async def selected() -> None:
    await message(OrderCancelled, where=is_large)  # refused: argument
    await message(FundsReserved, OrderCancelled, where=is_large)  # refused: argument
    await message(FundsReserved, where=lambda: True)  # refused: argument
    await message(FundsReserved, where=FundsReserved)  # refused: argument
    await message(FundsReserved, where=lambda m: m.reason == "")  # refused: attribute
    await message(FundsReserved, OrderCancelled, where=lambda m: not m.reason)  # refused: attribute


@flow
async def replies(moment: datetime) -> None:
    (await message(FundsReserved)).tracking.number  # refused: attribute
    (await message(ProductsShipped, timeout=SHORT)).tracking.number  # refused: attribute
    (await message(ProductsShipped, until=moment)).tracking.number  # refused: attribute
    (await message(ProductsShipped, OrderCancelled)).tracking.number  # refused: attribute
    reserved: FundsReserved = await message(FundsReserved, timeout=SHORT)  # refused: result
    reserved = await message(FundsReserved, OrderCancelled)  # refused: result
    reserved = message(FundsReserved)  # refused: result
    print(reserved)


@flow
async def time(moment: datetime) -> None:
    await sleep()  # refused: argument
    await sleep(5)  # refused: argument
    await sleep(moment)  # refused: argument
    await sleep(duration=SHORT)  # refused: argument
    await sleep(SHORT, suspend_after=5)  # refused: argument
    await sleep_until("tomorrow")  # refused: argument
    await sleep_until(SHORT)  # refused: argument
    await postpone()  # refused: argument


@flow
async def later() -> None:
    await postpone(5)  # refused: argument


@flow
async def much_later(moment: datetime) -> None:
    await postpone(moment)  # refused: argument


@flow
async def at_some_time() -> None:
    await suspend(SHORT)  # refused: argument


@flow
async def forgotten(moment: datetime) -> None:
    message(FundsReserved)  # refused: await
    message(FundsReserved, timeout=SHORT)  # refused: await
    message(FundsReserved, OrderCancelled, until=moment)  # refused: await
    sleep(SHORT)  # refused: await
    sleep_until(moment)  # refused: await
    now()  # refused: await
    postpone(SHORT)  # refused: await
    suspend()  # refused: await


@flow
async def something_follows_sleep() -> int:  # refused: result
    await sleep(SHORT)


@flow
async def something_follows_message() -> int:  # refused: result
    await message(FundsReserved)
