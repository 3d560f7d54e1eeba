"""What a server's settings are worth is read when the store is opened, and said once, loudly."""

from __future__ import annotations

import pytest

from tests.postgresql.server import OwnServer
from unbroken import Unbroken


async def opened(server: OwnServer) -> Unbroken:
    app = Unbroken(server.url)
    async with app:
        return app


async def test_a_server_that_survives_power_loss_is_not_talked_about(
    newest_server: OwnServer, caplog: pytest.LogCaptureFixture
) -> None:
    app = await opened(newest_server)
    assert "power loss" in app._store.durability
    assert "LOST" not in caplog.text


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("fsync = off", "fsync=off"),
        ("full_page_writes = off", "full_page_writes=off"),
        ("synchronous_commit = off", "synchronous_commit=off"),
    ],
)
async def test_a_weaker_one_is_named_once_with_what_it_may_lose(
    newest_server: OwnServer, caplog: pytest.LogCaptureFixture, setting: str, word: str
) -> None:
    newest_server.set(setting)
    newest_server.reload()
    app = await opened(newest_server)
    warnings = [one for one in caplog.records if "COMMITTED EFFECTS MAY BE LOST" in one.message]
    assert len(warnings) == 1
    assert word in warnings[0].message
    assert word in app._store.durability
