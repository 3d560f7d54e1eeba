"""`effect` as a decorator, on methods and in place; `Retry`."""

from collections.abc import Coroutine
from datetime import timedelta
from decimal import Decimal
from typing import assert_type
from uuid import UUID

from tests.typing.shop import Bank, Bus, Order, ShipFlow, Tracking, count, fetch
from unbroken import Retry, capture, effect, flow

bank = Bank()


@effect
async def ship(order: Order, express: bool = False) -> Tracking:
    return Tracking(order.id)


@effect
def weigh(order: Order) -> float:
    return float(order.total)


@effect(at_most_once=True)
async def fire(order: Order) -> Tracking:
    return Tracking(order.id)


@effect(at_most_once=True, timeout=timedelta(minutes=1), name="print", aliases=["printed"])
def label(order: Order, *, copies: int = 1) -> list[str]:
    return [order.id] * copies


@effect(retry=Retry(3), flush=False, thread=False)
def price(order: Order) -> Decimal:
    return order.total


@effect()
async def nothing() -> None: ...


def key_of(order: Order, express: bool = False) -> str:
    return f"ship:{order.id}:{express}"


@effect(name=key_of)
async def ship_by_key(order: Order, express: bool = False) -> Tracking:
    return Tracking(order.id)


@effect(name=lambda order: f"ship:{order.id}")
async def ship_by_lambda(order: Order) -> Tracking:
    return Tracking(order.id)


class Shipping:
    @effect(name=lambda self, order: f"pack:{self}:{order.id}")
    def pack(self, order: Order) -> int:
        return len(order.products)


@flow
async def decorated(order: Order) -> None:
    await assert_type(ship(order), Coroutine[object, object, Tracking])
    assert_type(await ship(order), Tracking)
    assert_type(await ship(order, express=True), Tracking)
    assert_type(await weigh(order), float)
    assert_type(await nothing(), None)


@flow
async def decorated_with_arguments(order: Order) -> None:
    assert_type(await fire(order), Tracking)
    assert_type(await label(order, copies=2), list[str])
    assert_type(await price(order), Decimal)
    assert_type(await ship_by_key(order, True), Tracking)
    assert_type(await ship_by_lambda(order), Tracking)


@flow
async def methods(order: Order) -> None:
    shipping = ShipFlow(Bus())
    assert_type(await shipping.announce(order), int)
    assert_type(await shipping.announce(order=order), int)
    assert_type(await shipping.label(order, copies=2), list[str])
    assert_type(await Shipping().pack(order), int)
    assert_type(await capture("label", shipping.label, order), list[str])


@flow
async def in_place(order: Order, amount: Decimal) -> None:
    assert_type(await effect(fetch)("a", attempts=2), bytes)
    assert_type(await effect(count)("a"), int)
    assert_type(await effect(bank.reserve, at_most_once=True)(order, amount), UUID)
    assert_type(await effect(bank.fee, at_most_once=True)(amount, rate=0.1), Decimal)
    assert_type(await effect(bank.reserve, retry=Retry(2), flush=True)(order, amount), UUID)
    assert_type(await effect(fetch, timeout=timedelta(seconds=5), thread=None)("a"), bytes)
    assert_type(await effect(count, name="letters", aliases=("chars",))("a"), int)


@flow
async def named_by_the_arguments(order: Order, amount: Decimal) -> None:
    by_order = effect(bank.reserve, name=lambda order, amount: f"reserve:{order.id}")
    assert_type(await by_order(order, amount), UUID)
    by_text = effect(count, name=lambda text: f"count:{text.upper()}", at_most_once=True)
    assert_type(await by_text("a"), int)
    by_default = effect(ship, name=lambda order, express=False: f"{order.id}:{express}")
    assert_type(await by_default(order), Tracking)
    by_function = effect(ship, name=key_of)
    assert_type(await by_function(order), Tracking)


@flow
async def retried(order: Order) -> None:
    by_class = Retry(5, initial_delay=timedelta(seconds=1), retry_if=TimeoutError)
    by_classes = Retry(max_delay=timedelta(hours=1), retry_if=(TimeoutError, OSError))
    by_predicate = Retry(backoff=1, jitter=0, retry_if=lambda error: "busy" in str(error))
    by_error = Retry(delay=lambda error, attempt: timedelta(attempt) if error.args else None)
    for retry in (by_class, by_classes, by_predicate, by_error):
        assert_type(await effect(ship, retry=retry)(order), Tracking)
