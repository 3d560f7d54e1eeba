"""Loops over nothing, with bodies for other items, and accumulators of two types."""

from decimal import Decimal

from tests.typing.shop import Order, count
from unbroken import flow, for_each


async def ship(order: Order) -> None: ...


async def add(total: Decimal, order: Order) -> Decimal:
    return total + order.total


async def describe(total: Decimal, order: Order) -> str:
    return f"{total} {order.id}"


def plain(order: Order) -> None: ...


@flow
async def bodies(batch: list[Order]) -> None:
    await for_each(5, ship)  # refused: argument
    await for_each(batch, plain)  # refused: argument
    await for_each(batch, ship(batch[0]))  # refused: argument
    await for_each(["a"], ship)  # refused: argument
    await for_each(batch, add)  # refused: argument
    await for_each(batch, ship, initial=Decimal(0))  # refused: argument
    await for_each(batch, describe, initial=Decimal(0))  # refused: argument
    await for_each(batch, add, initial="0")  # refused: argument
    await for_each(batch, add, Decimal(0))  # refused: argument
    await for_each(batch, ship, key="id")  # refused: argument
    await for_each(batch, ship, name=5)  # refused: argument


@flow
async def results(batch: list[Order]) -> None:
    total: str = await for_each(batch, add, initial=Decimal(0))  # refused: result
    print(total, count)


@flow
async def forgotten(batch: list[Order]) -> None:
    for_each(batch, ship)  # refused: await
    for_each(batch, add, initial=Decimal(0))  # refused: await
