"""The checker accepts a right history and rejects each wrong one, by the rule that it breaks."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.crash.checker import RULES, check
from tests.crash.checker.history import Death, History
from tests.crash.ledger import Line
from tests.crash.snapshot import EffectRow, FlowRow, MessageRow, PlaceRow, Snapshot

FLOW = "order MK-1"
CHILD = "child MK-1/1"


def line(at: int, kind: str, effect: str = "", **rest: Any) -> Line:
    """Make a line; process 1 runs incarnation 1, process 2 the later one."""
    pid = rest.pop("pid", 1 if at < 100 else 2)
    flow = rest.pop("flow", FLOW)
    return Line(at, at, pid, kind, flow, effect, rest.pop("incarnation", pid), **rest)


def flow_row(name: str, **rest: Any) -> FlowRow:
    type_, _, id_ = name.partition(" ")
    row = FlowRow(1, type_, id_, "done", None, None, 2, 1, 0, '"ok"', None)
    return msgspec.structs.replace(row, **rest)


def effect_row(key: str, kind: str = "capture", **rest: Any) -> EffectRow:
    row = EffectRow(key, kind, False, '"x!"', None, 1)
    return msgspec.structs.replace(row, **rest)


def stream_row(body: str, key: str = "messages:Paid") -> EffectRow:
    return effect_row(key, "stream", body=f'{{"type":{body}}}')


class Story:
    """What happened: an order in two processes, of which the first died at 100."""

    def __init__(self) -> None:
        self.lines = [
            line(1, "scheduled"),
            line(2, "started"),
            line(3, "begin", "reserve"),
            line(4, "end", "reserve", value="x!"),
            line(5, "saw", "reserve", value="x!"),
            line(6, "begin", "ship", once=True),
            line(7, "landed", "replica-1", flow="", value=1),
            line(8, "sent", value={"key": "k", "text": "7", "delivery": "accepted"}),
            line(9, "fenced", "replica-0", flow="", pid=3),
            line(110, "started"),
            line(111, "saw", "reserve", value="x!"),
            line(112, "interrupted", "ship"),
            line(113, "begin", "flaky"),
            line(114, "raise", "flaky", value="no"),
            line(115, "begin", "flaky"),
            line(116, "end", "flaky", value="x!"),
            line(117, "saw", "flaky", value="x!"),
            line(118, "received", "message:Paid", value="7"),
            line(119, "sleeping", "sleep", value=10),
            line(120, "published", flow="", value={"flow": 1, "state": "1"}),
            line(121, "published", flow="", value={"flow": 1, "state": "2"}),
            line(122, "received", "question:Paid", value="8"),
            line(123, "answered", value={"key": "q", "answer": "y", "expected": "y"}),
            line(130, "slept", "sleep"),
            line(140, "result", value="ok"),
        ]
        self.flows = {FLOW: flow_row(FLOW)}
        self.effects = {
            "reserve": effect_row("reserve"),
            "ship.begun": effect_row("ship.begun", "begun", body="null"),
            "flaky": effect_row("flaky", incarnation=2),
            "sleep": effect_row("sleep", "deadline", body="129", incarnation=2),
            "message:Paid": effect_row(
                "message:Paid", "message", body='{"text":"7"}', type="Paid", incarnation=2
            ),
        }
        self.effects["question:Paid"] = effect_row(
            "question:Paid",
            "message",
            body='{"key":"=q","value":{"text":"8"}}',
            type="Paid",
            incarnation=2,
        )
        self.effects["question:Paid.reply"] = effect_row("question:Paid.reply", "reply")
        self.messages = [
            MessageRow(2, "=q", "Paid", '{"text":"8"}', True, '"y"'),
            MessageRow(3, "=r", "Paid", '{"text":"bad"}', True, '{"message":"no"}', True),
            MessageRow(1, "=k", "Paid", '{"text":"7"}', True),
        ]
        self.state, self.state_at_death = "2", "1"
        self.at_death = {
            "reserve": effect_row("reserve"),
            "ship.begun": effect_row("ship.begun", "begun", body="null"),
        }
        self.flow_at_death = flow_row(FLOW, status="live", owner="a", incarnation=1, result=None)
        self.expected: dict[str, Any] = {FLOW: "ok"}
        self.sound = True
        self.places: tuple[PlaceRow, ...] = ()
        self.places_at_death = (
            PlaceRow("x", FLOW, 2, True),
            PlaceRow("x", CHILD, 1, True),
            PlaceRow("x", "other MK-2", 1, False),
        )

    def told(self) -> History:
        end = Snapshot(self.flows, {FLOW: self.effects}, {FLOW: self.messages}, (), self.sound)
        end = msgspec.structs.replace(end, places=self.places, states={FLOW: self.state})
        names = (FLOW, CHILD, "other MK-2")
        flows: dict[str, FlowRow] = dict.fromkeys(names, self.flow_at_death)
        stored = Snapshot(
            flows,
            {FLOW: self.at_death},
            places=self.places_at_death,
            states={FLOW: self.state_at_death},
        )
        death = Death(100, stored)
        return History(
            self.lines, end, deaths=(death,), expected=self.expected, attempts={"flaky": 4}
        )

    def say(self, *args: Any, **rest: Any) -> None:
        self.lines.append(line(*args, **rest))

    def unsay(self, kind: str, effect: str = "") -> None:
        self.lines = [one for one in self.lines if (one.kind, one.effect) != (kind, effect)]

    def change_effect(self, key: str, **rest: Any) -> None:
        self.effects[key] = msgspec.structs.replace(self.effects[key], **rest)

    def change_flow(self, **rest: Any) -> None:
        self.flows[FLOW] = msgspec.structs.replace(self.flows[FLOW], **rest)


def test_a_right_history_is_accepted() -> None:
    assert check(Story().told()) == []


Spoil = Callable[[Story], object]

BAD: list[tuple[str, str, Spoil]] = [
    (
        "at_most_once_begins_once",
        "a body that may begin once begins in two processes",
        lambda s: s.say(112, "begin", "ship", once=True),
    ),
    (
        "marker_is_stored_before_the_body",
        "a body that may begin once began without a marker",
        lambda s: s.say(120, "begin", "pay", once=True),
    ),
    (
        "interrupted_is_told_and_stays_told",
        "nobody says that the shipping was interrupted",
        lambda s: s.unsay("interrupted", "ship"),
    ),
    (
        "interrupted_is_told_and_stays_told",
        "first interrupted, then a result",
        lambda s: s.say(125, "saw", "ship", value="x!"),
    ),
    (
        "interrupted_is_told_and_stays_told",
        "told as interrupted, and stored as done",
        lambda s: s.effects.update(ship=effect_row("ship")),
    ),
    (
        "completed_never_begins_again",
        "stored in incarnation 1, begun in incarnation 2",
        lambda s: s.say(110, "begin", "reserve"),
    ),
    (
        "completed_never_begins_again",
        "begun by the first process after the second had seen the result",
        lambda s: s.say(150, "begin", "flaky", pid=1),
    ),
    (
        "answer_is_always_the_same",
        "a replay sees another value",
        lambda s: s.say(120, "saw", "reserve", value="y!"),
    ),
    (
        "answer_is_always_the_same",
        "what the flow saw is not what is stored",
        lambda s: s.change_effect("flaky", body='"y!"'),
    ),
    (
        "stored_is_never_rewritten",
        "an effect changes after it was stored",
        lambda s: s.change_effect("reserve", body='"y!"'),
    ),
    (
        "stored_is_never_rewritten",
        "an effect is gone",
        lambda s: s.effects.pop("reserve"),
    ),
    (
        "nothing_is_made_up",
        "a result is stored that no body gave",
        lambda s: s.unsay("end", "flaky"),
    ),
    (
        "attempts_are_counted",
        "tried five times where four are allowed",
        lambda s: [s.say(115, "begin", "flaky") for _ in range(3)],
    ),
    (
        "lost_part_is_a_suffix",
        "the first effect is lost and the second is not",
        lambda s: (
            s.say(3, "begin", "earlier"),
            s.at_death.update(late=effect_row("late")),
            s.say(60, "begin", "late"),
        ),
    ),
    (
        "retry_is_never_early",
        "an attempt begins before the instant that was stored",
        lambda s: s.at_death.update({"flaky.1": effect_row("flaky.1", "attempt", body="120")}),
    ),
    (
        "nothing_is_left_beneath",
        "a part of a body stays after its effect has ended",
        lambda s: s.effects.update({"reserve/inner": effect_row("reserve/inner")}),
    ),
    (
        "accepted_is_stored",
        "an accepted message is nowhere",
        lambda s: (s.messages.clear(), s.effects.pop("message:Paid")),
    ),
    (
        "accepted_is_stored",
        "another message is stored under its key",
        lambda s: s.say(9, "sent", value={"key": "k", "text": "8", "delivery": "accepted"}),
    ),
    (
        "consumed_once",
        "a message goes to two waits",
        lambda s: s.say(120, "received", "message:Paid#2", value="7"),
    ),
    (
        "consumed_once",
        "a wait gets another message on the replay",
        lambda s: s.say(120, "received", "message:Paid", value="nothing"),
    ),
    (
        "stored_consumption_agrees",
        "a consumed message that no wait recorded",
        lambda s: s.effects.pop("message:Paid"),
    ),
    (
        "stored_consumption_agrees",
        "a recorded message that is still in the inbox",
        lambda s: s.messages.append(msgspec.structs.replace(s.messages.pop(), consumed=False)),
    ),
    (
        "stored_consumption_agrees",
        "a stream took a message that a wait had taken",
        lambda s: s.effects.update({"messages:Paid": stream_row('"answer","taken":[[1,1]]')}),
    ),
    (
        "order_is_kept",
        "a turn of a loop takes a message before those of the turn before",
        lambda s: s.effects.update(
            {
                "messages:Paid": stream_row('"answer","taken":[[2,3]]'),
                "messages:Paid#2": stream_row(
                    '"turn","taken":[[1,"Paid",{"text":"7"}]]', "messages:Paid#2"
                ),
            }
        ),
    ),
    (
        "equal_keys_are_one_message",
        "two messages are accepted under one key",
        lambda s: s.say(9, "sent", value={"key": "k", "text": "7", "delivery": "accepted"}),
    ),
    (
        "order_is_kept",
        "the second wait gets the first message",
        lambda s: (
            s.messages.append(MessageRow(2, "=l", "Paid", '{"text":"8"}', True)),
            s.change_effect("message:Paid", body='{"text":"8"}'),
            s.effects.update(
                {
                    "message:Paid#2": effect_row(
                        "message:Paid#2", "message", body='{"text":"7"}', type="Paid"
                    )
                }
            ),
        ),
    ),
    (
        "incarnation_has_one_process",
        "two processes run one incarnation",
        lambda s: s.say(120, "started", incarnation=1),
    ),
    (
        "fenced_never_writes_again",
        "a batch lands after the replica was declared dead",
        lambda s: s.say(10, "landed", "replica-0", flow="", pid=3),
    ),
    (
        "lost_begins_no_body",
        "a process begins a body of an incarnation that it has lost",
        lambda s: (s.say(20, "fenced", "r"), s.say(21, "begin", "late")),
    ),
    (
        "sleep_is_never_early",
        "a sleep is over before its time",
        lambda s: (s.unsay("slept", "sleep"), s.say(127, "slept", "sleep")),
    ),
    (
        "ended_stays_ended",
        "two callers get two results",
        lambda s: s.say(150, "result", value="other"),
    ),
    (
        "ended_stays_ended",
        "a flow that had ended runs again",
        lambda s: setattr(s, "flow_at_death", flow_row(FLOW, result='"early"')),
    ),
    (
        "ended_stays_ended",
        "an incarnation is counted back",
        lambda s: setattr(s, "flow_at_death", flow_row(FLOW, status="live", incarnation=3)),
    ),
    (
        "acknowledged_start_exists",
        "a flow whose start was acknowledged is nowhere",
        lambda s: s.flows.clear(),
    ),
    (
        "nothing_is_stuck",
        "a flow has not ended",
        lambda s: s.change_flow(status="live"),
    ),
    (
        "nothing_is_stuck",
        "a flow is parked",
        lambda s: s.change_flow(status="parked"),
    ),
    (
        "ended_is_owned_by_nobody",
        "an ended flow has an owner",
        lambda s: s.change_flow(owner="replica-1"),
    ),
    (
        "ended_is_owned_by_nobody",
        "an ended flow is due",
        lambda s: s.change_flow(due_at=5),
    ),
    (
        "result_is_as_expected",
        "the result is another one",
        lambda s: s.expected.update({FLOW: "fine"}),
    ),
    (
        "result_is_as_expected",
        "an interruption in the result that nobody was told of",
        lambda s: (
            s.unsay("interrupted", "ship"),
            s.unsay("result"),
            s.say(140, "result", value="interrupted"),
        ),
    ),
    (
        "holders_keep_to_the_limit",
        "three flows hold what is for two",
        lambda s: setattr(
            s,
            "places_at_death",
            tuple(PlaceRow("x", place.flow, 2, True) for place in s.places_at_death),
        ),
    ),
    (
        "ended_stands_in_no_queue",
        "an ended flow waits for a place",
        lambda s: setattr(s, "places", (PlaceRow("x", FLOW, 1, False),)),
    ),
    (
        "ended_stands_in_no_queue",
        "a flow that does not exist holds a place",
        lambda s: setattr(s, "places", (PlaceRow("x", "nobody", 1, True),)),
    ),
    (
        "guarded_bodies_do_not_meet",
        "another flow goes in before the first has come out",
        lambda s: (
            s.say(120, "begin", "guarded 1"),
            s.say(121, "begin", "gather/0/guarded 1", flow=CHILD),
            s.say(122, "end", "gather/0/guarded 1", flow=CHILD, value="x!"),
            s.say(123, "end", "guarded 1", value="x!"),
        ),
    ),
    (
        "answer_is_the_stored_one",
        "the same question got two answers",
        lambda s: s.say(130, "answered", value={"key": "q", "answer": "z", "expected": "z"}),
    ),
    (
        "answer_is_the_stored_one",
        "a question got an answer that is nobody's",
        lambda s: s.say(130, "answered", value={"key": "r", "answer": "no", "expected": "why"}),
    ),
    (
        "answer_is_the_stored_one",
        "a question got an answer that is not stored",
        lambda s: s.say(130, "answered", value={"key": "k", "answer": "y", "expected": "y"}),
    ),
    (
        "state_never_turns_back",
        "a state came back while the flow ran",
        lambda s: s.say(130, "published", flow="", value={"flow": 1, "state": "1"}),
    ),
    (
        "state_never_turns_back",
        "the last state is older than one that was seen",
        lambda s: setattr(s, "state", "1"),
    ),
    (
        "state_never_turns_back",
        "what was stored at a death is newer than what came after it",
        lambda s: setattr(s, "state_at_death", "3"),
    ),
    (
        "stored_consumption_agrees",
        "a question was consumed, and nobody recorded or refused it",
        lambda s: setattr(
            s, "messages", [*s.messages, MessageRow(4, "=x", "Paid", '{"text":"9"}', True, '"y"')]
        ),
    ),
    ("file_is_sound", "the file is damaged", lambda s: setattr(s, "sound", False)),
]


@pytest.mark.parametrize(("rule", "what", "spoil"), BAD, ids=[what for _, what, _ in BAD])
def test_a_wrong_history_is_rejected(rule: str, what: str, spoil: Spoil) -> None:
    story = Story()
    spoil(story)
    assert rule in {violation.rule for violation in check(story.told())}


def test_every_rule_has_a_history_that_it_rejects() -> None:
    assert {rule.__name__ for rule in RULES} == {rule for rule, _, _ in BAD}


def test_a_body_that_was_about_to_begin_when_its_process_froze_is_no_violation() -> None:
    story = Story()
    story.say(20, "stopped", flow="", value=1, pid=9)
    story.say(200, "continued", flow="", value=1, pid=9)
    story.say(201, "begin", "flaky", pid=1)
    history = story.told()
    assert check(history) == []
    assert history.late_begins == 1


def test_a_body_that_begins_long_after_a_freeze_is_one() -> None:
    story = Story()
    story.say(20, "stopped", flow="", value=1, pid=9)
    story.say(200, "continued", flow="", value=1, pid=9)
    story.say(900_000, "begin", "flaky", pid=1)
    assert [one.rule for one in check(story.told())] == ["completed_never_begins_again"]
