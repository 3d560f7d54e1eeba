"""`race`: exact up to four branches, its index literal; one type for more."""

from collections.abc import Coroutine
from datetime import timedelta
from decimal import Decimal
from typing import Literal, TypeAlias, assert_type
from uuid import UUID, uuid4

from tests.typing.shop import FundsReserved, Order, count, fetch
from unbroken import capture, flow, gather, message, race, sleep

DAY = timedelta(days=1)


FundsOrNothing: TypeAlias = tuple[Literal[0], FundsReserved] | tuple[Literal[1], None]
OneOfThree: TypeAlias = (
    tuple[Literal[0], UUID] | tuple[Literal[1], None] | tuple[Literal[2], Decimal]
)


async def branch(order: Order) -> Decimal:
    await sleep(DAY)
    return order.total


@flow
async def up_to_four(order: Order) -> None:
    assert_type(await race(capture(fetch, "a")), tuple[Literal[0], bytes])
    two = race(message(FundsReserved), sleep(DAY))
    await assert_type(two, Coroutine[object, object, FundsOrNothing])
    three = await race(capture(uuid4), sleep(DAY), branch(order))
    assert_type(three, OneOfThree)
    four = await race(capture(uuid4), capture(count, "a"), branch(order), message(FundsReserved))
    assert_type(four[0], Literal[0, 1, 2, 3])
    assert_type(four[1], UUID | int | Decimal | FundsReserved)


@flow
async def narrowed(order: Order) -> Decimal:
    match await race(message(FundsReserved), sleep(DAY), branch(order)):
        case (0, paid):
            assert_type(paid, FundsReserved)
            return Decimal(0)
        case (1, nothing):
            assert_type(nothing, None)
            return Decimal(0)
        case (2, total):
            assert_type(total, Decimal)
            return total


@flow
async def by_index(order: Order) -> None:
    won = await race(message(FundsReserved), branch(order))
    if won[0] == 0:
        assert_type(won[1], FundsReserved)
    else:
        assert_type(won[1], Decimal)


@flow
async def nested(order: Order) -> None:
    both = gather(branch(order), capture(count, "a"))
    won = await race(both, race(sleep(DAY), capture(fetch, "a")))
    if won[0] == 0:
        assert_type(won[1], tuple[Decimal, int])
    else:
        assert_type(won[1], tuple[Literal[0], None] | tuple[Literal[1], bytes])


@flow
async def as_many_as_there_are(batch: list[Order]) -> None:
    assert_type(await race(*[branch(order) for order in batch]), tuple[int, Decimal])
    one = capture(count, "a")
    assert_type(await race(one, one, one, one, one), tuple[int, int])
