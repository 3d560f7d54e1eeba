"""A server that may lose what it has committed: at-most-once effects do not begin on it."""

import logging

import pytest

from tests.services import Database, with_options
from unbroken import FlowParked, Unbroken, effect, flow

ran: list[str] = []


@effect(at_most_once=True)
async def ship() -> str:
    ran.append("shipped")
    return "label"


@flow
async def shipping() -> str:
    return await ship()


async def test_it_is_said_loudly_and_nothing_begins_until_somebody_accepts_it(
    postgresql: Database, postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    ran.clear()
    weak = with_options(postgresql_url, synchronous_commit="off")
    app = Unbroken(weak)
    flows = app.register(shipping)
    with caplog.at_level(logging.WARNING):
        async with app:
            scheduled = await flows.schedule("a")
            with pytest.raises(FlowParked, match="accept_loss"):
                await scheduled.completion()
    assert caplog.text.count("COMMITTED EFFECTS MAY BE LOST") == 1
    assert ran == []
    accepting = Unbroken(with_options(weak, accept_loss="on"))
    flows = accepting.register(shipping)
    async with accepting:
        assert await flows.run("a") == "label"
    assert ran == ["shipped"]
