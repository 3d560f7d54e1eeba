"""`capture` of everything that can be called, and what the standard library makes of it."""

import asyncio
import random
import secrets
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import assert_type
from uuid import UUID, uuid4

from tests.typing.shop import (
    Bank,
    FundsReserved,
    Order,
    Tracking,
    count,
    fetch,
    first_of,
    last_of,
    order_flow,
)
from unbroken import capture, effect, flow

bank = Bank()


@flow
async def functions() -> None:
    await assert_type(capture(fetch, "a"), Coroutine[object, object, bytes])
    assert_type(await capture(fetch, "a"), bytes)
    assert_type(await capture(fetch, "a", attempts=2), bytes)
    assert_type(await capture(fetch, url="a"), bytes)
    assert_type(await capture(count, "a"), int)
    assert_type(await capture(count, text="a"), int)
    assert_type(await capture(uuid4), UUID)


@flow
async def functions_with_a_name() -> None:
    assert_type(await capture("download", fetch, "a"), bytes)
    assert_type(await capture("download", fetch, "a", attempts=2), bytes)
    assert_type(await capture("letters", count, "a"), int)
    assert_type(await capture("transaction", uuid4), UUID)


@flow
async def methods(order: Order, amount: Decimal, text: str) -> None:
    assert_type(await capture(bank.reserve, order, amount), UUID)
    assert_type(await capture("reserve", bank.reserve, order, amount=amount), UUID)
    assert_type(await capture(bank.fee, amount), Decimal)
    assert_type(await capture("fee", bank.fee, amount, rate=0.25), Decimal)
    assert_type(await capture("upper", text.upper), str)


@flow
async def partials(amount: Decimal) -> None:
    assert_type(await capture(partial(fetch, "a")), bytes)
    assert_type(await capture(partial(fetch, "a"), attempts=2), bytes)
    assert_type(await capture("fee", partial(bank.fee, rate=0.1), amount), Decimal)
    assert_type(await capture("letters", partial(count, "abc")), int)


@flow
async def lambdas(amount: Decimal) -> None:
    assert_type(await capture("number", lambda: 5), int)
    assert_type(await capture("transaction", lambda: uuid4()), UUID)
    assert_type(await capture("download", lambda: fetch("a")), bytes)
    assert_type(await capture("fee", lambda: bank.fee(amount, rate=0.1)), Decimal)


@flow
async def classes() -> None:
    assert_type(await capture(Tracking, "T-1"), Tracking)
    assert_type(await capture("tracking", Tracking, number="T-1"), Tracking)
    assert_type(await capture("funds", FundsReserved, Decimal(1)), FundsReserved)


@flow
async def callable_objects(amount: Decimal) -> None:
    assert_type(await capture(bank, amount), FundsReserved)
    assert_type(await capture("reserve", bank, amount), FundsReserved)


@flow
async def generic_functions(names: list[str], numbers: list[int]) -> None:
    assert_type(await capture(first_of, names), str)
    assert_type(await capture("first", first_of, numbers), int)
    assert_type(await capture(last_of, names), str)
    assert_type(await capture("last", last_of, numbers), int)


@flow
async def functions_of_the_standard_library(names: list[str]) -> None:
    assert_type(await capture(max, 1, 2), int)
    assert_type(await capture("greatest", max, names), str)
    assert_type(await capture(sorted, names), list[str])
    assert_type(await capture("rounded", round, 2.5), int)
    assert_type(await capture("number", int, "5"), int)
    assert_type(await capture(str, 5), str)
    assert_type(await capture("now", datetime.now, UTC), datetime)
    assert_type(await capture(random.randint, 1, 6), int)
    assert_type(await capture("token", secrets.token_hex, 16), str)


@flow
async def a_flow_and_an_effect(order: Order) -> None:
    assert_type(await capture("in_place", order_flow, order), str)
    assert_type(await capture("download", effect(fetch, at_most_once=True), "a"), bytes)
    assert_type(await capture("letters", effect(count, retry=None), text="a"), int)


@flow
async def in_tasks() -> None:
    assert_type(asyncio.create_task(capture("a", fetch, "a")), asyncio.Task[bytes])
    async with asyncio.TaskGroup() as group:
        letters = group.create_task(capture("letters", count, "a"))
    assert_type(letters, asyncio.Task[int])
    assert_type(letters.result(), int)


@flow
async def in_the_gather_of_asyncio() -> None:
    both = asyncio.gather(capture("a", fetch, "a"), capture("b", count, "b"))
    assert_type(await both, tuple[bytes, int])
    several = [capture(name, count, name) for name in ("a", "b")]
    assert_type(await asyncio.gather(*several), list[int])


@flow
async def in_a_limit_of_asyncio() -> None:
    async with asyncio.timeout(5):
        assert_type(await capture(fetch, "a"), bytes)
    assert_type(await asyncio.wait_for(capture("b", count, "b"), 5), int)
    assert_type(await asyncio.shield(capture("c", count, "c")), int)
    until = await capture("until", lambda: datetime.now(UTC) + timedelta(days=1))
    assert_type(until, datetime)
