"""Races of what cannot race, and results of another shape."""

from datetime import timedelta
from decimal import Decimal

from tests.typing.shop import FundsReserved, count, fetch
from unbroken import capture, flow, message, race, sleep

SHORT = timedelta(seconds=5)


@flow
async def branches(amounts: list[Decimal]) -> None:
    await race(fetch, count)  # refused: argument
    await race(5, sleep(SHORT))  # refused: argument
    await race([capture(count, "a"), capture(count, "b")])  # refused: argument
    await race(*amounts)  # refused: argument
    await race(message(FundsReserved), timeout=SHORT)  # refused: argument


@flow
async def results() -> None:
    paid: FundsReserved = await race(message(FundsReserved), sleep(SHORT))  # refused: result
    index, text = await race(capture(count, "a"), sleep(SHORT))
    only: int = text  # refused: result
    first: bytes = (await race(capture(count, "a"), sleep(SHORT)))[1]  # refused: result
    print(paid, index, only, first)


@flow
async def narrowed() -> FundsReserved | None:
    match await race(message(FundsReserved), sleep(SHORT)):
        case (0, paid):
            paid.nothing  # refused: attribute
            return paid
        case (1, nothing):
            print(nothing.amount)  # refused: attribute
            return nothing


@flow
async def forgotten() -> None:
    race(capture(count, "a"))  # refused: await
    race(capture(count, "a"), capture(fetch, "b"))  # refused: await
    race(*[capture(count, "a")])  # refused: await
