"""`message`, `sleep` and their like, and what the checkers know about code that follows."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_never, assert_type
from uuid import UUID

from tests.typing.shop import FundsReserved, Order, OrderCancelled, ProductsShipped, Tracking
from unbroken import capture, flow, message, now, postpone, sleep, sleep_until, suspend

SHORT = timedelta(seconds=5)


@flow
async def one_type(limit: timedelta | None, moment: datetime) -> None:
    assert_type(await message(FundsReserved), FundsReserved)
    assert_type(await message(FundsReserved, suspend_after=SHORT), FundsReserved)
    assert_type(await message(FundsReserved, timeout=SHORT), FundsReserved | None)
    assert_type(await message(FundsReserved, timeout=limit), FundsReserved | None)
    assert_type(await message(FundsReserved, until=moment), FundsReserved | None)
    assert_type(await message(str), str)
    assert_type(await message(UUID, until=moment, suspend_after=SHORT), UUID | None)


@flow
async def two_types(moment: datetime) -> None:
    reply = await message(FundsReserved, OrderCancelled)
    assert_type(reply, FundsReserved | OrderCancelled)
    reply = await message(FundsReserved, OrderCancelled, suspend_after=SHORT)
    assert_type(reply, FundsReserved | OrderCancelled)
    limited = await message(FundsReserved, OrderCancelled, timeout=SHORT)
    assert_type(limited, FundsReserved | OrderCancelled | None)
    limited = await message(FundsReserved, OrderCancelled, until=moment, suspend_after=SHORT)
    assert_type(limited, FundsReserved | OrderCancelled | None)


@flow
async def three_types(moment: datetime) -> None:
    reply = await message(FundsReserved, OrderCancelled, ProductsShipped)
    assert_type(reply, FundsReserved | OrderCancelled | ProductsShipped)
    limited = await message(FundsReserved, OrderCancelled, ProductsShipped, timeout=SHORT)
    assert_type(limited, FundsReserved | OrderCancelled | ProductsShipped | None)
    limited = await message(FundsReserved, OrderCancelled, ProductsShipped, until=moment)
    assert_type(limited, FundsReserved | OrderCancelled | ProductsShipped | None)


@flow
async def selected(order: Order, moment: datetime) -> None:
    reserved = message(FundsReserved, where=lambda m: m.amount == order.total)
    assert_type(await reserved, FundsReserved)
    limited = message(FundsReserved, where=lambda m: m.amount > 0, timeout=SHORT)
    assert_type(await limited, FundsReserved | None)
    either = message(
        FundsReserved,
        OrderCancelled,
        where=lambda m: isinstance(m, FundsReserved) or m.reason != "",
        until=moment,
    )
    assert_type(await either, FundsReserved | OrderCancelled | None)


@flow
async def told_apart() -> Tracking | str | None:
    match await message(ProductsShipped, OrderCancelled, timeout=SHORT):
        case ProductsShipped(tracking=tracking):
            return assert_type(tracking, Tracking)
        case OrderCancelled(reason=reason):
            return assert_type(reason, str)
        case None:
            return None


@flow
async def told_apart_by_class() -> Decimal | str:
    reply = await message(FundsReserved, OrderCancelled)
    if isinstance(reply, FundsReserved):
        return assert_type(reply, FundsReserved).amount
    return assert_type(reply, OrderCancelled).reason


@flow
async def time(moment: datetime) -> None:
    assert_type(await sleep(timedelta(days=30)), None)
    assert_type(await sleep(SHORT, suspend_after=SHORT), None)
    assert_type(await sleep_until(moment), None)
    assert_type(await sleep_until(moment, suspend_after=timedelta(0)), None)
    assert_type(await now(), datetime)
    assert_type(await sleep_until(await now() + SHORT), None)


@flow
async def nothing_follows_postpone() -> int:
    """Needs no `return`: the checkers know that there is no other way out."""
    await postpone(timedelta(minutes=10))


@flow
async def nothing_follows_suspend() -> int:
    await suspend()


async def find() -> Tracking | None:
    return None


@flow
async def what_was_ruled_out() -> str:
    tracking = await capture(find)
    if tracking is None:
        await postpone(timedelta(minutes=10))
    assert_type(tracking, Tracking)
    reply = await message(FundsReserved, OrderCancelled, timeout=SHORT)
    if not isinstance(reply, OrderCancelled):
        await suspend()
    return assert_type(reply, OrderCancelled).reason


@flow
async def what_was_ruled_out_to_the_last() -> str:
    reply = await message(FundsReserved, OrderCancelled)
    match reply:
        case FundsReserved():
            await postpone(timedelta(minutes=10))
        case OrderCancelled(reason=reason):
            return reason
        case _:
            assert_never(reply)
