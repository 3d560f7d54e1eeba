"""`gather`: exact up to four branches, one type for more."""

from collections.abc import Coroutine
from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_type
from uuid import UUID, uuid4

from tests.typing.shop import FundsReserved, Order, count, fetch, order_flow, orders, payment_flow
from unbroken import capture, flow, gather, message, now, sleep


async def branch(order: Order) -> Decimal:
    await sleep(timedelta(days=1))
    return order.total


@flow
async def up_to_four(order: Order) -> None:
    assert_type(await gather(capture(fetch, "a")), tuple[bytes])
    assert_type(await gather(capture(fetch, "a"), capture(count, "b")), tuple[bytes, int])
    three = gather(capture(uuid4), sleep(timedelta(1)), branch(order))
    await assert_type(three, Coroutine[object, object, tuple[UUID, None, Decimal]])
    four = gather(capture(uuid4), capture(uuid4), branch(order), message(FundsReserved))
    assert_type(await four, tuple[UUID, UUID, Decimal, FundsReserved])


@flow
async def of_all_that_waits(order: Order) -> None:
    limited = message(FundsReserved, timeout=timedelta(1))
    assert_type(await gather(limited, now()), tuple[FundsReserved | None, datetime])
    in_place = gather(order_flow(order), payment_flow.run("P-1", order))
    assert_type(await in_place, tuple[str, Decimal])
    scheduled = await orders.schedule("MK-1", order)
    assert_type(await gather(scheduled.completion(), orders.run("MK-2", order)), tuple[str, str])
    inner = gather(capture(count, "a"), capture(fetch, "a"))
    assert_type(await gather(inner, branch(order)), tuple[tuple[int, bytes], Decimal])


@flow
async def unpacked() -> None:
    text, letters = await gather(capture(fetch, "a"), capture(count, "b"))
    assert_type(text, bytes)
    assert_type(letters, int)


@flow
async def as_many_as_there_are(batch: list[Order]) -> None:
    assert_type(await gather(*[branch(order) for order in batch]), tuple[Decimal, ...])
    assert_type(await gather(*(capture(count, order.id) for order in batch)), tuple[int, ...])
    one = capture(count, "a")
    assert_type(await gather(one, one, one, one, one), tuple[int, ...])
    assert_type(sum(await gather(*[branch(order) for order in batch]), Decimal(0)), Decimal)
