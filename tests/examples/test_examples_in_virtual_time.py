"""A year of an example in milliseconds: its flows under a virtual clock, its world in a list."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import ModuleType
from uuid import UUID, uuid4

import pytest

from tests.programs import EXAMPLES
from unbroken import Delivery, Unbroken
from unbroken.testing import VirtualClock


@contextmanager
def imported(name: str) -> Iterator[ModuleType]:
    """Import an example as its own module, for as long as the test needs it."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[name]


async def test_membership_writes_today_after_a_month_and_after_a_year(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with imported("schedule") as schedule:
        clock, sent = VirtualClock(), []
        app = Unbroken("sqlite://", clock=clock)

        def send(email: str, text: str) -> None:
            sent.append(text)

        monkeypatch.setattr(schedule, "send", send)
        members = app.register(schedule.membership)
        async with app:
            year = await members.schedule("ann", "ann@example.org", timedelta(days=1))
            await clock.advance(timedelta(days=29, hours=23))
            assert sent == ["welcome"]
            await clock.advance(timedelta(hours=1))
            assert len(sent) == 2
            await clock.advance(timedelta(days=334, hours=23))
            assert len(sent) == 2
            await clock.advance(timedelta(hours=1))
            assert len(sent) == 3
            assert await year.completion() == "a year has passed"


async def test_registration_ends_after_three_days_without_the_right_click(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with imported("user_registration") as example:
        clock, calls = VirtualClock(), []
        app = Unbroken("sqlite://", clock=clock)
        monkeypatch.setattr(example, "note", calls.append)
        registrations = app.register(example.registration)
        async with app:
            asked = await registrations.schedule("ann", "ann@example.org")
            await clock.settle()
            secret = UUID(calls[-1].split()[-1])
            wrong = example.EmailVerified(uuid4())
            assert wrong.secret != secret
            assert await registrations.send_message("ann", wrong) is Delivery.ACCEPTED
            await clock.advance(timedelta(days=2, hours=23))
            assert [call.split()[0] for call in calls] == ["register", "verify"]
            await clock.advance(timedelta(hours=1))
            assert await asked.completion() == "ann@example.org was never verified"
            assert calls[-1] == "remove user:ann@example.org"
