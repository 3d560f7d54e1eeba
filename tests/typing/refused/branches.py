"""Branches that are none, and results of another shape."""

from datetime import timedelta
from decimal import Decimal

from tests.typing.shop import count, fetch, order_flow
from unbroken import capture, flow, gather, now, sleep

SHORT = timedelta(seconds=5)


@flow
async def branches(amounts: list[Decimal]) -> None:
    await gather(fetch, count)  # refused: argument
    await gather(5)  # refused: argument
    await gather([capture(count, "a"), capture(count, "b")])  # refused: argument
    await gather(capture(count, "a"), count("b"))  # refused: argument
    await gather(*amounts)  # refused: argument
    await gather(capture(count, "a"), capture(count, 5))  # refused: argument
    await gather(capture(count, "a"), return_exceptions=True)  # refused: argument
    await gather(order_flow.run("MK-1"), sleep(5))  # refused: argument


@flow
async def results() -> None:
    first, second = await gather(capture(count, "a"))  # refused: result
    first, second = await gather(sleep(SHORT), capture(fetch, "b"), now())  # refused: result
    both: tuple[int, int] = await gather(capture(count, "a"), now())  # refused: result
    several: list[int] = await gather(*[capture(count, "a")])  # refused: result
    print(first, second, both, several)


@flow
async def forgotten() -> None:
    gather(capture(count, "a"))  # refused: await
    gather(capture(count, "a"), capture(fetch, "b"))  # refused: await
    gather(*[capture(count, "a")])  # refused: await
