"""Questions to a flow and published state: from both sides."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_type

from tests.typing.shop import (
    FundsReserved,
    Order,
    OrderCancelled,
    ProductsShipped,
    Tracking,
    orders,
)
from unbroken import Question, current_flow, flow, question

SHORT = timedelta(seconds=5)


def must_be_positive(asked: FundsReserved) -> None:
    if asked.amount <= 0:
        raise ValueError


@flow
async def one_type(limit: timedelta | None, moment: datetime) -> None:
    assert_type(await question(FundsReserved), Question[FundsReserved])
    assert_type(await question(FundsReserved, suspend_after=SHORT), Question[FundsReserved])
    assert_type(await question(FundsReserved, timeout=SHORT), Question[FundsReserved] | None)
    assert_type(await question(FundsReserved, timeout=limit), Question[FundsReserved] | None)
    assert_type(await question(FundsReserved, until=moment), Question[FundsReserved] | None)
    assert_type((await question(FundsReserved)).value, FundsReserved)
    assert_type((await question(FundsReserved)).key, str)


@flow
async def several_types(moment: datetime) -> None:
    two = await question(FundsReserved, OrderCancelled)
    assert_type(two, Question[FundsReserved | OrderCancelled])
    assert_type(two.value, FundsReserved | OrderCancelled)
    limited = await question(FundsReserved, OrderCancelled, timeout=SHORT)
    assert_type(limited, Question[FundsReserved | OrderCancelled] | None)
    limited = await question(FundsReserved, OrderCancelled, until=moment)
    assert_type(limited, Question[FundsReserved | OrderCancelled] | None)
    three = await question(FundsReserved, OrderCancelled, ProductsShipped)
    assert_type(three.value, FundsReserved | OrderCancelled | ProductsShipped)
    late = await question(FundsReserved, OrderCancelled, ProductsShipped, timeout=SHORT)
    assert_type(late, Question[FundsReserved | OrderCancelled | ProductsShipped] | None)
    late = await question(FundsReserved, OrderCancelled, ProductsShipped, until=moment)
    assert_type(late, Question[FundsReserved | OrderCancelled | ProductsShipped] | None)


@flow
async def selected(order: Order) -> None:
    checked = await question(FundsReserved, validate=must_be_positive)
    assert_type(checked, Question[FundsReserved])
    asked = await question(
        FundsReserved,
        where=lambda m: m.amount == order.total,
        validate=lambda m: m.amount + 1,
        timeout=SHORT,
    )
    assert_type(asked, Question[FundsReserved] | None)


@flow
async def answered() -> None:
    asked = await question(FundsReserved, OrderCancelled)
    match asked.value:
        case FundsReserved(amount=amount):
            assert_type(await asked.answer(amount), None)
        case OrderCancelled(reason=reason):
            assert_type(await asked.refuse(reason), None)


async def a_question_of_a_wider_type(asked: Question[FundsReserved]) -> None:
    wider: Question[FundsReserved | OrderCancelled] = asked
    await wider.answer(None)


async def asking(reserved: FundsReserved) -> None:
    assert_type(await orders.ask("MK-1", reserved, Tracking), Tracking)
    assert_type(await orders.ask("MK-1", reserved, Decimal, key="k", timeout=SHORT), Decimal)
    assert_type(await orders.ask("MK-1", "text", list[str]), list[str])


@flow
async def publishing(order: Order) -> None:
    assert_type(await current_flow().publish(order), None)
    assert_type(await current_flow().publish("shipped"), None)


async def state() -> None:
    assert_type(await orders.state("MK-1", Order), Order | None)
    assert_type(await orders.state("MK-1", dict[str, int]), dict[str, int] | None)
