"""`messages(…)`: the exact type behind each operator, and what each end gives."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_type

from tests.typing.shop import FundsReserved, Order, OrderCancelled, ProductsShipped, Tracking
from unbroken import Messages, flow, gather, messages

SHORT = timedelta(seconds=5)


@flow
async def types() -> None:
    assert_type(messages(FundsReserved), Messages[FundsReserved])
    two = messages(FundsReserved, OrderCancelled)
    assert_type(two, Messages[FundsReserved | OrderCancelled])
    three = messages(FundsReserved, OrderCancelled, ProductsShipped)
    assert_type(three, Messages[FundsReserved | OrderCancelled | ProductsShipped])
    assert_type(three.of_types(FundsReserved), Messages[FundsReserved])
    narrowed = three.of_types(FundsReserved, OrderCancelled)
    assert_type(narrowed, Messages[FundsReserved | OrderCancelled])
    all_three = three.of_types(FundsReserved, OrderCancelled, ProductsShipped)
    assert_type(all_three, Messages[FundsReserved | OrderCancelled | ProductsShipped])


def total(so_far: Decimal, reserved: FundsReserved) -> Decimal:
    return so_far + reserved.amount


def number(tracking: Tracking) -> str:
    return tracking.number


@flow
async def operators(order: Order, moment: datetime) -> None:
    reserved = messages(FundsReserved)
    assert_type(reserved.where(lambda m: m.amount == order.total), Messages[FundsReserved])
    assert_type(reserved.map(lambda m: m.amount), Messages[Decimal])
    assert_type(reserved.map(str), Messages[str])
    assert_type(messages(Tracking).map(number), Messages[str])
    assert_type(reserved.scan(Decimal(0), total), Messages[Decimal])
    assert_type(reserved.scan(0, lambda so_far, m: so_far + int(m.amount)), Messages[int])
    assert_type(reserved.take(2), Messages[FundsReserved])
    assert_type(reserved.skip(2), Messages[FundsReserved])
    assert_type(reserved.take_until(lambda m: m.amount > 0), Messages[FundsReserved])
    assert_type(reserved.until(SHORT), Messages[FundsReserved])
    assert_type(reserved.until(moment), Messages[FundsReserved])
    assert_type(reserved.distinct_by(lambda m: m.amount), Messages[FundsReserved])
    assert_type(reserved.chunk(3), Messages[list[FundsReserved]])
    assert_type(reserved.chunk(3).map(len).chunk(2), Messages[list[int]])
    either = messages(FundsReserved, OrderCancelled)
    assert_type(either.take(2), Messages[FundsReserved | OrderCancelled])
    is_good = either.where(lambda m: isinstance(m, FundsReserved) or m.reason != "")
    assert_type(is_good, Messages[FundsReserved | OrderCancelled])
    chunks = either.distinct_by(type).chunk(2)
    assert_type(chunks, Messages[list[FundsReserved | OrderCancelled]])


@flow
async def ends() -> None:
    either = messages(FundsReserved, OrderCancelled).take(2)
    assert_type(await either.first(), FundsReserved | OrderCancelled)
    assert_type(await either.first_or_none(), FundsReserved | OrderCancelled | None)
    assert_type(await either.last(), FundsReserved | OrderCancelled)
    assert_type(await either.completion(), list[FundsReserved | OrderCancelled])
    assert_type(await either.map(str).completion(suspend_after=SHORT), list[str])
    chunk = await either.chunk(2).first(suspend_after=SHORT)
    assert_type(chunk, list[FundsReserved | OrderCancelled])
    assert_type(await messages(str).first_or_none(suspend_after=SHORT), str | None)
    assert_type(await messages(str).map(len).take(1).last(suspend_after=SHORT), int)


@flow
async def from_the_contract() -> None:
    pair = messages(FundsReserved, ProductsShipped).take(2)
    both = await pair.until(timedelta(seconds=30)).completion()
    assert_type(both, list[FundsReserved | ProductsShipped])
    side_by_side = await gather(messages(str).first(), messages(int).take(2).completion())
    assert_type(side_by_side, tuple[str, list[int]])


@flow
async def loops() -> list[Decimal]:
    amounts: list[Decimal] = []
    async for reserved in messages(FundsReserved).take(2):
        amounts.append(assert_type(reserved, FundsReserved).amount)
    async for chunk in messages(FundsReserved, OrderCancelled).chunk(2):
        assert_type(chunk, list[FundsReserved | OrderCancelled])
    assert_type(aiter(messages(FundsReserved)), AsyncIterator[FundsReserved])
    assert_type([one async for one in messages(int).map(str)], list[str])
    return amounts


async def amounts_of(stream: Messages[object]) -> list[object]:
    """A stream of something is one of what lies above it."""
    return [one async for one in stream]


@flow
async def above() -> None:
    assert_type(await amounts_of(messages(FundsReserved)), list[object])
