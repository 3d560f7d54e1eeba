"""Flows that lost their process again and again run one at a time, and hold nobody up."""

from datetime import timedelta

import msgspec

from tests.flows.apps import Apps
from tests.flows.database import change
from unbroken import Unbroken, capture, flow, message
from unbroken.testing import VirtualClock


class Paid(msgspec.Struct, frozen=True):
    amount: int


@flow
async def payment() -> int:
    return (await message(Paid, suspend_after=timedelta(days=1))).amount


@flow
async def order() -> str:
    return await capture("ship", lambda: "shipped")


def make_suspects(app: Unbroken) -> None:
    """Let it look as if each flow had lost its process twice without having got further."""
    change(app, "UPDATE flows SET crashes = 2")


async def test_a_suspect_that_waits_leaves_its_place_to_the_next(
    shared: Apps, clock: VirtualClock
) -> None:
    client = shared(execute=False)
    payments, orders = client.register(payment), client.register(order)
    await client.start()
    waiting = await payments.schedule("first")
    await clock.advance(timedelta(seconds=1))
    await orders.schedule("second")
    make_suspects(client)
    app = shared()
    app.register(payment)
    flows = app.register(order)
    await app.start()
    begin = clock.now()
    assert await flows.completion("second") == "shipped"
    assert clock.now() == begin
    await payments.send_message("first", Paid(7))
    await clock.advance(timedelta(seconds=30))
    assert await waiting.completion() == 7
