"""Declarations that contradict themselves, and wrong uses of what was declared."""

from datetime import timedelta

from tests.typing.shop import Bank, Bus, Order, ShipFlow, count, fetch
from unbroken import Retry, effect, flow

bank = Bank()


@effect
async def ship(order: Order, express: bool = False) -> str:
    return order.id


@effect(at_most_once=True)
def label(order: Order) -> str:
    return order.id


def declare() -> None:
    effect(at_most_once=True, retry=Retry(3))  # refused: argument
    effect(at_most_once=True, flush=False)  # refused: argument
    effect(fetch, at_most_once=True, retry=Retry(3))  # refused: argument
    effect(fetch, at_most_once=True, flush=False)  # refused: argument
    effect(count, at_most_once=True, retry=Retry(3))  # refused: argument
    effect(at_most_once="yes")  # refused: argument
    effect(retry=3)  # refused: argument
    effect(timeout=5)  # refused: argument
    effect(fetch, timeout=5)  # refused: argument
    effect(name=5)  # refused: argument
    effect(nmae="ship")  # refused: argument
    effect("ship")  # refused: argument
    effect(fetch("a"))  # refused: argument
    effect(flush=True)(5)  # refused: argument


def number_of(order: Order) -> int:
    return 5


def name() -> None:
    effect(name=number_of)  # refused: argument
    effect(fetch, name=number_of)  # refused: argument
    effect(ship, name=number_of)  # refused: argument
    effect(name=lambda order: 5)  # refused: argument
    effect(count, name=lambda text: len(text))  # refused: argument
    effect(bank.reserve, name=lambda order, amount: order.number)  # refused: attribute


@flow
async def use(order: Order) -> None:
    await ship()  # refused: argument
    await ship("MK-1")  # refused: argument
    await ship(order, True, 3)  # refused: argument
    await ship(order, expres=True)  # refused: argument
    await label("MK-1")  # refused: argument
    await effect(fetch)(5)  # refused: argument
    await effect(bank.reserve, at_most_once=True)(order)  # refused: argument
    await effect(ship, name=lambda order, express: order.id)(order)  # refused: argument
    number: int = await ship(order)  # refused: result
    number = await effect(fetch, retry=Retry(2))("a")  # refused: result
    print(number)


@flow
async def use_methods(order: Order) -> None:
    shipping = ShipFlow(Bus())
    await shipping.announce()  # refused: argument
    await shipping.announce(shipping, order)  # refused: argument
    await shipping.label(order, copies="2")  # refused: argument
    await shipping.label(order, 2)  # refused: argument
    shipping.announce(order)  # refused: await
    text: str = await shipping.label(order)  # refused: result
    print(text)


@flow
async def forget(order: Order) -> None:
    ship(order)  # refused: await
    label(order)  # refused: await
    effect(fetch)("a")  # refused: await
    effect(count, at_most_once=True)("a")  # refused: await


def retry() -> None:
    Retry("3")  # refused: argument
    Retry(initial_delay=1)  # refused: argument
    Retry(attempts=3)  # refused: argument
    Retry(3, timedelta(1))  # refused: argument
    Retry(retry_if="TimeoutError")  # refused: argument
    Retry(retry_if=int)  # refused: argument
    Retry(delay=lambda error, attempt: 5)  # refused: argument
