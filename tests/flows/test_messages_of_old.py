"""A message that former code did not want waits for code that does."""

from datetime import timedelta

import msgspec

from tests.flows.apps import AT_ONCE, Apps, loose, stored_messages
from unbroken import flow, message
from unbroken.testing import VirtualClock


class Paid(msgspec.Struct):
    amount: int


class Refunded(msgspec.Struct):
    amount: int


async def test_it_is_taken_when_the_flow_runs_next(shared: Apps, clock: VirtualClock) -> None:
    """It wakes nobody, as docs/code-changes.md says; the next message does."""

    @flow(name="order")
    async def before() -> str:
        return type(await message(Paid)).__name__

    @flow(name="order")
    async def after() -> str:
        return type(await message(Paid, Refunded)).__name__

    app = shared(suspend_after=AT_ONCE)
    flows = app.register(before)
    async with app:
        await flows.schedule("a")
        await flows.send_message("a", Refunded(1))
        await clock.settle()
    app = shared(suspend_after=AT_ONCE)
    repaired = loose(app.register(after))
    async with app:
        await clock.advance(timedelta(minutes=1))
        assert stored_messages(app, "a") == ['{"amount":1}']
        await repaired.send_message("a", Paid(2))
        assert await repaired.completion("a") == "Refunded"
