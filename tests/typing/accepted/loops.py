"""`for_each`: items of any iterable; with `initial`, the accumulator's type is the result's."""

from collections.abc import AsyncIterator, Coroutine
from decimal import Decimal
from typing import assert_type

from tests.typing.shop import Order, count
from unbroken import capture, effect, flow, for_each


async def ship(order: Order) -> None:
    await capture(count, order.id)


async def shipped(order: Order) -> int:
    return await capture(count, order.id)


async def add(total: Decimal, order: Order) -> Decimal:
    return total + order.total


async def pages() -> AsyncIterator[Order]:
    for order in list[Order]():
        yield order


@effect
async def letters(text: str) -> int:
    return len(text)


@flow
async def over_items(batch: list[Order]) -> None:
    await assert_type(for_each(batch, ship), Coroutine[object, object, None])
    assert_type(await for_each(tuple(batch), shipped, key=lambda order: order.id), None)
    assert_type(await for_each((order for order in batch), ship, name="ship all"), None)
    assert_type(await for_each(pages(), ship), None)
    assert_type(await for_each(["a", "b"], letters), None)
    assert_type(await for_each({"a": 1}, count_letters), None)


async def count_letters(text: str) -> None:
    await letters(text)


@flow
async def over_an_accumulator(batch: list[Order]) -> Decimal:
    assert_type(await for_each(batch, add, initial=Decimal(0)), Decimal)
    total = await for_each(pages(), add, initial=Decimal(0), key=lambda order: order.id)
    assert_type(total, Decimal)

    async def longest(best: Order | None, order: Order) -> Order | None:
        return order if best is None or order.total > best.total else best

    assert_type(await for_each(batch, longest, initial=None), Order | None)
    return await for_each(batch, add, initial=Decimal(0))
