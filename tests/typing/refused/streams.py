"""Streams of nothing, operators that do not fit what reaches them, and ends that are forgotten."""

from datetime import datetime, timedelta
from decimal import Decimal

from tests.typing.shop import FundsReserved, OrderCancelled, ProductsShipped
from unbroken import flow, messages

SHORT = timedelta(seconds=5)


@flow
async def types() -> None:
    messages()  # refused: argument
    messages("FundsReserved")  # refused: argument
    messages(FundsReserved(Decimal(1)))  # refused: argument
    messages(FundsReserved | OrderCancelled)  # refused: argument
    messages(FundsReserved, where=lambda m: True)  # refused: argument
    messages(FundsReserved).of_types()  # refused: argument
    messages(FundsReserved).of_types("FundsReserved")  # refused: argument


def is_large(reserved: FundsReserved) -> bool:
    return reserved.amount > 0


async def later(reserved: FundsReserved) -> bool:
    return True


def total(so_far: int, reserved: FundsReserved) -> int:
    return so_far + 1


@flow
async def operators(moment: datetime) -> None:
    reserved = messages(FundsReserved)
    messages(OrderCancelled).where(is_large)  # refused: argument
    messages(FundsReserved, OrderCancelled).where(is_large)  # refused: argument
    reserved.where(later)  # refused: argument
    reserved.where(lambda: True)  # refused: argument
    reserved.where(lambda m: m.reason == "")  # refused: attribute
    reserved.map(5)  # refused: argument
    reserved.map(lambda m: m.reason)  # refused: attribute
    reserved.map(lambda m: m.amount).where(lambda a: a.amount > 0)  # refused: attribute
    reserved.scan(total)  # refused: argument
    reserved.scan("", total)  # refused: argument
    messages(OrderCancelled).scan(0, total)  # refused: argument
    reserved.take("2")  # refused: argument
    reserved.take()  # refused: argument
    reserved.skip(1.5)  # refused: argument
    reserved.take_until(later)  # refused: argument
    reserved.until(5)  # refused: argument
    reserved.until(SHORT, moment)  # refused: argument
    reserved.distinct_by(lambda m: [m])  # refused: argument
    reserved.chunk("3")  # refused: argument
    reserved.chunk(3).where(is_large)  # refused: argument


@flow
async def ends() -> None:
    reserved = messages(FundsReserved)
    await reserved.first(5)  # refused: argument
    await reserved.first(suspend_after=5)  # refused: argument
    await reserved.completion(timeout=SHORT)  # refused: argument
    (await reserved.first()).reason  # refused: attribute
    (await reserved.first_or_none()).amount  # refused: attribute
    (await reserved.take(2).completion()).amount  # refused: attribute
    (await messages(ProductsShipped, FundsReserved).first()).amount  # refused: attribute
    one: FundsReserved = await reserved.first_or_none()  # refused: result
    one = await messages(FundsReserved, OrderCancelled).first()  # refused: result
    many: list[FundsReserved] = await reserved.chunk(2).take(1).completion()  # refused: result
    print(one, many)


@flow
async def loops() -> None:
    async for reserved in messages(FundsReserved):
        reserved.reason  # refused: attribute
    async for chunk in messages(FundsReserved).chunk(2):
        chunk.amount  # refused: attribute


@flow
async def forgotten() -> None:
    messages(FundsReserved).first()  # refused: await
    messages(FundsReserved).first_or_none()  # refused: await
    messages(FundsReserved).take(1).last()  # refused: await
    messages(FundsReserved).take(1).completion()  # refused: await
