"""Flows that lost their process again and again run one at a time, and hold nobody up."""

import sqlite3
from datetime import timedelta

import msgspec

from tests.flows.apps import Apps
from unbroken import capture, flow, message
from unbroken.testing import VirtualClock


class Paid(msgspec.Struct, frozen=True):
    amount: int


@flow
async def payment() -> int:
    return (await message(Paid, suspend_after=timedelta(days=1))).amount


@flow
async def order() -> str:
    return await capture("ship", lambda: "shipped")


def make_suspects(apps: Apps) -> None:
    """Let it look as if each flow had lost its process twice without having got further."""
    connection = sqlite3.connect(apps.url.removeprefix("sqlite:///"))
    with connection:
        connection.execute("UPDATE flows SET crashes = 2")
    connection.close()


async def test_a_suspect_that_waits_leaves_its_place_to_the_next(
    shared: Apps, clock: VirtualClock
) -> None:
    client = shared(execute=False)
    payments, orders = client.register(payment), client.register(order)
    await client.start()
    waiting = await payments.schedule("first")
    await clock.advance(timedelta(seconds=1))
    await orders.schedule("second")
    make_suspects(shared)
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
