"""Wrong arguments, wrong functions, and results that nobody awaits."""

import asyncio
from decimal import Decimal
from uuid import uuid4

from tests.typing.shop import Bank, Order, Tracking, count, fetch, first_of
from unbroken import capture, flow

bank = Bank()


@flow
async def functions() -> None:
    await capture(fetch)  # refused: argument
    await capture(fetch, 5)  # refused: argument
    await capture(fetch, "a", 2, 3)  # refused: argument
    await capture(fetch, "a", atempts=2)  # refused: argument
    await capture(count, 5)  # refused: argument
    await capture(count, "a", "b")  # refused: argument
    await capture(uuid4, 5)  # refused: argument
    await capture(fetch("a"))  # refused: argument
    await capture(count("a"))  # refused: argument
    await capture()  # refused: argument


@flow
async def functions_with_a_name() -> None:
    await capture("download")  # refused: argument
    await capture("download", fetch)  # refused: argument
    await capture("download", fetch, 5)  # refused: argument
    await capture("download", fetch, "a", atempts=2)  # refused: argument
    await capture("letters", count, "a", "b")  # refused: argument
    await capture("letters", count("a"))  # refused: argument
    await capture(5, count, "a")  # refused: argument
    await capture(name="letters", work=count, text="a")  # refused: argument


@flow
async def methods(order: Order, amount: Decimal) -> None:
    await capture(bank.reserve, order)  # refused: argument
    await capture(bank.reserve, amount, order)  # refused: argument
    await capture("reserve", bank.reserve, order, "5")  # refused: argument
    await capture(bank.fee, amount, 0.1)  # refused: argument
    await capture("fee", bank.fee, amount, rates=0.1)  # refused: argument


@flow
async def everything_that_can_be_called(amount: Decimal) -> None:
    await capture("number", lambda: 5, 6)  # refused: argument
    await capture(Tracking)  # refused: argument
    await capture("tracking", Tracking, 5)  # refused: argument
    await capture(bank)  # refused: argument
    await capture("reserve", bank, "5")  # refused: argument
    await capture(first_of, 5)  # refused: argument
    await capture(round, "2.5")  # refused: argument
    await capture("number", int, [])  # refused: argument


@flow
async def results(order: Order, amount: Decimal) -> None:
    letters: str = await capture(count, "a")  # refused: result
    letters = await capture("letters", count, "a")  # refused: result
    letters = await capture(fetch, "a")  # refused: result
    letters = await capture(bank.reserve, order, amount)  # refused: result
    letters = await capture("first", first_of, [1, 2])  # refused: result
    letters = capture(str, 5)  # refused: result
    both = asyncio.gather(capture("a", count, "a"), capture("b", fetch, "b"))
    letters = (await both)[1]  # refused: result
    print(letters)


@flow
async def forgotten(order: Order, amount: Decimal) -> None:
    capture(fetch, "a")  # refused: await
    capture(count, "a")  # refused: await
    capture("letters", count, "a")  # refused: await
    capture("download", fetch, "a")  # refused: await
    capture(bank.reserve, order, amount)  # refused: await
    capture("number", lambda: 5)  # refused: await
    capture(uuid4)  # refused: await
