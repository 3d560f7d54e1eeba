"""Each example is killed in the middle, started again, and made its calls as often as promised.

What the process was doing when it died may be repeated, if it is promised at least once. What was
recorded before is not, and the rest is done once.
"""

from collections import Counter
from decimal import Decimal

import pytest

from tests.programs import Launcher

pytestmark = pytest.mark.crash

# The call that the process dies in takes so long; the restarted process need not wait.
IN_THE_MIDDLE = 0.5


def repeated(calls: list[str]) -> list[str]:
    return [call for call, times in Counter(calls).items() if times != 1]


@pytest.mark.parametrize("moment", ["reserve", "take the money", "write to"])
def test_order_rpc_repeats_only_the_call_it_died_in(start: Launcher, moment: str) -> None:
    first = start("order_rpc", seconds=IN_THE_MIDDLE)
    call = first.wait_for(moment)
    first.kill()
    assert "done: TRACK-1" in start("order_rpc").finish()

    calls = start.lines_of("order_rpc.calls")
    assert Counter(calls)[call] == 2
    assert repeated(calls) == [call]
    assert len(set(calls)) == 4


def test_order_rpc_ships_no_second_time_and_asks_for_a_person(start: Launcher) -> None:
    first = start("order_rpc", seconds=IN_THE_MIDDLE)
    first.wait_for("ship a book")
    first.kill()
    last = start("order_rpc").finish()[-1]

    assert last.startswith("a person must look: flow 'MK-54321' failed")
    assert "EffectInterrupted" in last
    calls = start.lines_of("order_rpc.calls")
    assert [call.split()[0] for call in calls] == ["reserve", "ship"]


def test_order_rpc_started_again_after_its_end_does_nothing_more(start: Launcher) -> None:
    start("order_rpc").finish()
    calls = start.lines_of("order_rpc.calls")
    assert "done: TRACK-1" in start("order_rpc").finish()
    assert start.lines_of("order_rpc.calls") == calls


@pytest.mark.parametrize("moment", ["reserve-funds", "ship-products", "take-funds"])
def test_order_messages_goes_on_where_it_waited(start: Launcher, moment: str) -> None:
    first = start("order_messages", seconds=IN_THE_MIDDLE)
    first.wait_for(f"command: {moment}")
    first.kill()
    assert "done: TRACK-1" in start("order_messages").finish()

    commands = start.lines_of("order_messages.bus")
    # The command it died after may not have been recorded; it is then published again.
    assert {line.split()[0] for line in repeated(commands)} <= {moment}
    assert list(dict.fromkeys(line.split()[0] for line in commands)) == [
        "reserve-funds",
        "ship-products",
        "take-funds",
    ]


def test_order_messages_takes_an_answer_that_came_twice_as_one(start: Launcher) -> None:
    first = start("order_messages", seconds=IN_THE_MIDDLE)
    first.wait_for("answer: FundsReserved, accepted")
    first.kill()
    second = start("order_messages")
    second.wait_for("answer: FundsReserved, duplicate")
    assert "done: TRACK-1" in second.finish()


def test_user_registration_gets_the_click_that_came_while_nothing_ran(start: Launcher) -> None:
    email = "ann@example.org"
    first = start("user_registration", email)
    secret = first.wait_for("verify").split()[-1]
    first.kill()
    assert start("user_registration", email, secret).finish()[-1] == "accepted"
    assert f"done: {email} is user:{email}" in start("user_registration", email).finish()

    calls = start.lines_of("user_registration.calls")
    assert calls[0] == f"register {email}"
    assert calls[-1] == f"activate user:{email}"
    assert {call.split()[0] for call in repeated(calls)} <= {"verify"}
    assert set(calls[1:-1]) == {f"verify {email} {secret}"}


def test_user_registration_is_finished_by_a_click_in_another_process(start: Launcher) -> None:
    email = "ann@example.org"
    waiting = start("user_registration", email)
    secret = waiting.wait_for("verify").split()[-1]
    start("user_registration", email, secret).finish()
    assert waiting.finish()[-1] == f"done: {email} is user:{email}"


@pytest.mark.parametrize(("moment", "number"), [("welcome", 0), ("how do you like it?", 1)])
def test_schedule_goes_on_with_the_year(start: Launcher, moment: str, number: int) -> None:
    email, day = "ann@example.org", "0.005"
    first = start("schedule", email, day)
    first.wait_for(moment)
    first.kill()
    assert "done: a year has passed" in start("schedule", email, day).finish()

    emails = start.lines_of("schedule.calls")
    assert list(dict.fromkeys(emails))[number] == moment
    assert set(repeated(emails)) <= {moment}
    assert len(set(emails)) == 3


@pytest.mark.parametrize("moment", ["start", "complete", "refuse", "roll-back"])
def test_money_transfer_loses_and_makes_no_money(start: Launcher, moment: str) -> None:
    first = start("money_transfer", seconds=IN_THE_MIDDLE)
    entry = first.wait_for(moment)
    first.kill()
    lines = start("money_transfer").finish()

    assert lines[-3].startswith("flow 'T-2' failed")
    assert "TransferFailed" in lines[-3]
    assert lines[-2:] == ["balance of ann: -100.00", "balance of bob: +100.00"]
    book = start.lines_of("money_transfer.calls")
    assert repeated(book) == [entry]
    movements = [Decimal(line.split()[-1]) for line in set(book) if line.startswith("start")]
    assert sorted(movements) == [Decimal(-100), Decimal(-50), Decimal(100)]


def test_newsletter_repeats_only_the_emails_it_died_in(start: Launcher) -> None:
    first = start("newsletter", seconds=IN_THE_MIDDLE)
    first.wait_for_all("to dan", "to eve", "to finn")
    first.kill()
    assert start("newsletter").finish()[-1] == "e-mails: 9"

    customers = start.lines_of("newsletter.calls")
    assert len(set(customers)) == 9
    assert set(repeated(customers)) == {"dan", "eve", "finn"}


def test_newsletter_is_finished_by_a_second_process(start: Launcher) -> None:
    first = start("newsletter", seconds=IN_THE_MIDDLE)
    first.wait_for("to ann")
    second = start("newsletter")
    first.wait_for_all("to dan", "to eve", "to finn")
    first.kill()
    assert second.finish()[-1] == "e-mails: 9"

    customers = start.lines_of("newsletter.calls")
    assert len(set(customers)) == 9
    assert set(repeated(customers)) <= {"dan", "eve", "finn"}


def test_puzzle_is_solved_once_more_only_if_it_was_not_solved(start: Launcher) -> None:
    first = start("puzzle_and_rocket", seconds=IN_THE_MIDDLE)
    first.wait_for("solve")
    first.kill()
    second = start("puzzle_and_rocket", seconds=IN_THE_MIDDLE)
    second.wait_for("announce 7283")
    second.wait_for("fire")
    second.kill()
    assert start("puzzle_and_rocket").finish()[-1] == "the rocket: somebody saw it fly"

    calls = start.lines_of("puzzle_and_rocket.calls")
    assert [call.split()[0] for call in calls] == [
        "solve",
        "solve",
        "announce",
        "fuel",
        "fire",
        "look",
    ]


def test_approval_that_came_while_nothing_ran_is_one(start: Launcher) -> None:
    asking = start("approval", "E-1")
    asking.wait_for("waiting")
    asking.kill()
    assert start("approval", "E-1", "bob").finish()[-2:] == ["accepted", "duplicate"]
    assert start("approval", "E-1").finish()[-1] == "done: approved by bob"


def test_two_messages_keep_the_limit_that_was_set_first(start: Launcher) -> None:
    first = start("two_messages", seconds=IN_THE_MIDDLE)
    first.wait_for("patient")
    first.kill()
    assert start("two_messages", seconds=30).finish()[-2:] == [
        "patient: ['locked in shelf 7', 'reserved by payment 2']",
        "hurried: ['reserved by payment 1']",
    ]


def test_overloaded_report_is_written_once_however_often_it_begins(start: Launcher) -> None:
    first = start("overloaded", seconds=IN_THE_MIDDLE)
    first.wait_for("overloaded?")
    start.wait_until_recorded("overloaded.db", "write")
    first.kill()
    assert start("overloaded").finish()[-1] == "done: report on the year, on paper"

    calls = start.lines_of("overloaded.calls")
    assert calls.count("write the year") == 1
    assert calls.count("print report on the year") == 1


@pytest.mark.parametrize("batch", [1, 2])
def test_bus_that_delivers_again_after_a_kill_counts_nothing_twice(
    start: Launcher, batch: int
) -> None:
    first = start("bus_handlers", seconds=IN_THE_MIDDLE)
    for _ in range(batch - 1):
        first.wait_for("acknowledged")
    first.wait_for("accepted accepted accepted accepted")
    first.kill()
    second = start("bus_handlers")
    again = second.wait_for("duplicate duplicate")
    assert set(again.split()) <= {"duplicate", "flow", "ended"}
    ended = second.finish()
    assert ended[-3:] == [f"P-{number} harbour rail door" for number in (1, 2, 3)]


def test_control_panel_lets_a_person_repair_the_order(start: Launcher) -> None:
    assert start("control_panel").finish()[-1] == "a person must look: nowhere"
    looked = start("control_panel", "look").finish()
    assert [line.split()[0] for line in looked if "SQLite" not in line] == [
        "failed",
        "find_address",
        "pack",
    ]

    start("control_panel", "address", "1 Old Street").finish()
    second = start("control_panel", seconds=IN_THE_MIDDLE)
    second.wait_for("ship to 1 Old Street")
    second.kill()
    lost = start("control_panel").finish()[-1]
    assert lost.startswith("a person must look: ")
    assert "ShipProducts" in lost

    start("control_panel", "ship").finish()
    assert start("control_panel").finish()[-1] == "done: sent to 1 Old Street"
    assert start.lines_of("control_panel.calls") == [
        "pack",
        "find nowhere",
        "find 1 Old Street",
        "ship to 1 Old Street",
        "ship to 1 Old Street",
    ]


def test_test_of_a_flow_passes_as_a_program_too(start: Launcher) -> None:
    assert start("order_flow_test").finish()[-1] == "2 passed"
