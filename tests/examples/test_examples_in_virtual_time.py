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
from unbroken import Delivery, Status, Unbroken
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


async def test_two_messages_wait_for_both_or_until_the_limit() -> None:
    with imported("two_messages") as example:
        clock = VirtualClock()
        app = Unbroken("sqlite://", clock=clock)
        patient = app.register(example.patient_flow)
        hurried = app.register(example.hurried_flow)
        limit = timedelta(seconds=30)
        async with app:
            both = await patient.schedule("1")
            one = await hurried.schedule("2", limit)
            two = await hurried.schedule("3", limit)
            for flows, id in ((patient, "1"), (hurried, "2"), (hurried, "3")):
                await flows.send_message(id, example.FundsReserved("payment"))
            await hurried.send_message("3", example.InventoryLocked(1))
            await clock.advance(timedelta(seconds=29))
            assert await two.completion() == ["reserved by payment", "locked in shelf 1"]
            assert (await hurried.list(Status.LIVE))[0].id == "2"
            await clock.advance(timedelta(seconds=1))
            assert await one.completion() == ["reserved by payment"]
            await clock.advance(timedelta(days=30))
            await patient.send_message("1", example.InventoryLocked(2))
            assert await both.completion() == ["reserved by payment", "locked in shelf 2"]


async def test_two_messages_leave_memory_after_half_a_minute_without_a_time_out() -> None:
    with imported("two_messages") as example:
        clock = VirtualClock()
        app = Unbroken("sqlite://", clock=clock)
        patient = app.register(example.patient_flow)
        async with app:
            await patient.schedule("1")
            await clock.advance(timedelta(seconds=29))
            assert (await patient.list())[0].owner is not None
            await clock.advance(timedelta(seconds=1))
            (flow,) = await patient.list()
            assert (flow.status, flow.owner, flow.due_at) == (Status.LIVE, None, None)


async def test_overloaded_report_comes_back_after_each_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with imported("overloaded") as example:
        clock, calls = VirtualClock(), []
        monkeypatch.setattr(example, "note", calls.append)
        monkeypatch.setattr(example, "calls", lambda: calls)
        monkeypatch.setattr(example, "PAUSE", timedelta(minutes=10))
        app = Unbroken("sqlite://", clock=clock)
        reports = app.register(example.report_flow)
        async with app:
            report = await reports.schedule("1", "the year")
            await clock.advance(timedelta(minutes=19))
            assert calls == ["write the year", "overloaded?", "overloaded?"]
            await clock.advance(timedelta(minutes=1))
            assert calls[3:] == ["overloaded?", "print report on the year"]
            assert await report.completion() == "report on the year, on paper"


async def test_tests_of_the_order_flow_pass() -> None:
    with imported("order_flow_test") as example:
        tests = [one for name, one in vars(example).items() if name.startswith("test_")]
        assert len(tests) == 2
        for test in tests:
            await test()
