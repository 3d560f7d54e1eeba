"""Each rule of the simulator finds the history that was spoiled for it, and no other rule does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pytest

from tests.crash.checker.history import Death
from tests.crash.ledger import Line
from tests.crash.snapshot import EffectRow, FlowRow, PlaceRow, Snapshot
from tests.crash.torture.programs import COMMON, REPAIRED_CODE, Act, Program
from tests.simulation import judging_programs as rules
from tests.simulation.judging import ended_well_although_cancelled, met_behind_a_lock
from tests.simulation.judging_programs import RULES, Story
from tests.simulation.tape import Tape
from tests.simulation.world import World

FLOW = "interpret f0"
CHILD = "interpret f0/1"
OTHER = "interpret f1"
PROGRAM: Program = (
    Act("touch", "0"),
    Act("child", "1", parts=((Act("touch", "1.0"),),), option="leave"),
    Act("never", "never 0"),
)
NOTHING = Snapshot()


def row(flow: str, status: str, result: object = None, number: int = 1) -> FlowRow:
    """Make a flow's row."""
    type, _, id = flow.partition(" ")
    text = None if result is None else msgspec.json.encode(result).decode()
    stored = None if text is None else msgspec.json.encode(text).decode()
    return FlowRow(number, type, id, status, None, None, 1, 0, 0, stored, None)


class Spoiled:
    """A world to which lines are written at chosen moments."""

    def __init__(self) -> None:
        self.world = World(Tape(0, ()))
        self.end = Snapshot(
            {FLOW: row(FLOW, "cancelled"), CHILD: row(CHILD, "done", ["1.0!"], 2)},
            {FLOW: {"undo never 0": effect("undo never 0")}},
        )
        self.programs: dict[str, Program] = {
            FLOW: PROGRAM,
            CHILD: PROGRAM[1].parts[0],
            "interpret common": COMMON,
        }

    def say(self, at: int, kind: str, effect: str = "", flow: str = FLOW, **more: object) -> None:
        """Write a line."""
        given: dict[str, object] = {"incarnation": 1, "pid": 1, **more}
        line = msgspec.convert(
            {"at": at, "wall": at, "kind": kind, "flow": flow, "effect": effect, **given}, Line
        )
        self.world.lines.append(line)
        self.world.lines_of(kind).append(line)

    def story(self) -> Story:
        """Give what the rules look at."""
        return Story(self.world, self.programs, self.end)


def effect(key: str, kind: str = "capture") -> EffectRow:
    return EffectRow(key, kind, False, '"x"', None, 1)


@pytest.fixture
def spoiled() -> Iterator[Spoiled]:
    made = Spoiled()
    made.world.database.execute(
        "CREATE TABLE flows (type TEXT, id TEXT, ended_at INTEGER, status TEXT)"
    )
    for id, ended in (("f0", 100), ("f0/1", 90)):
        made.world.database.execute(
            "INSERT INTO flows VALUES ('interpret', ?, ?, 'done')", (id, ended)
        )
    yield made
    made.world.end()


def wrong(spoiled: Spoiled) -> None:
    spoiled.say(1, "wrong", value="it")


def other_result(spoiled: Spoiled) -> None:
    spoiled.end.flows[CHILD] = row(CHILD, "done", ["other"])


def interruption_nobody_told(spoiled: Spoiled) -> None:
    spoiled.end.flows[CHILD] = row(CHILD, "done", ["interrupted"])


def stumbled_again(spoiled: Spoiled) -> None:
    spoiled.say(1, "saw", "stumble top")
    spoiled.say(2, "begin", "stumble top")


def began_twice(spoiled: Spoiled) -> None:
    spoiled.say(1, "removing", "strict top")
    spoiled.say(2, "begin", "strict top", once=True)
    spoiled.say(3, "begin", "strict top", once=True, incarnation=2)


def began_a_preset(spoiled: Spoiled) -> None:
    spoiled.say(1, "begin", "preset top")


def tidied_too_early(spoiled: Spoiled) -> None:
    spoiled.say(1, "begin", "gather/0/tidy 0")
    spoiled.say(2, "waited", "tidy 0")


def shipped_and_delivered(spoiled: Spoiled) -> None:
    spoiled.say(1, "begin", "gather/0/ship 0", once=True)
    spoiled.say(2, "begin", "gather/0/deliver 0", once=True, incarnation=2)


def renamed_and_done_again(spoiled: Spoiled) -> None:
    spoiled.say(1, "started", value=[0, 1, 1])
    spoiled.say(2, "renamed", "0")
    spoiled.say(3, "started", value=[0, REPAIRED_CODE, 1], incarnation=2)
    spoiled.say(4, "begin", "latter 0", incarnation=2)


def another_version(spoiled: Spoiled) -> None:
    spoiled.say(1, "started", value=[0, 1, 1])
    spoiled.say(2, "started", value=[0, 1, 3], incarnation=2)


def woke_early(spoiled: Spoiled) -> None:
    spoiled.say(1, "until", "sleep", value=50)
    spoiled.say(49, "reached", "sleep")


def turned_back(spoiled: Spoiled) -> None:
    spoiled.say(1, "read", value=2)
    spoiled.say(2, "read", value=1)


def jumped_the_queue(spoiled: Spoiled) -> None:
    places = (PlaceRow("q", FLOW, 2, False), PlaceRow("q", OTHER, 2, True))
    spoiled.world.deaths.append(Death(1, Snapshot(places=places)))


def cancelled_although_left_alone(spoiled: Spoiled) -> None:
    spoiled.end.flows[CHILD] = row(CHILD, "cancelled")


def ended_well_after_its_parent(spoiled: Spoiled) -> None:
    bound = msgspec.structs.replace(PROGRAM[1], option="cancel")
    spoiled.programs[FLOW] = (PROGRAM[0], bound, PROGRAM[2])
    spoiled.world.database.execute("UPDATE flows SET ended_at = 101 WHERE id = 'f0/1'")


def did_not_compensate(spoiled: Spoiled) -> None:
    spoiled.end.effects[FLOW] = {
        "message:Never.cancel": effect("message:Never.cancel", "cancel"),
    }


def did_not_undo(spoiled: Spoiled) -> None:
    spoiled.say(1, "saw", "gather/0/saga#2/touch 3 1")
    spoiled.say(2, "end", "gather/0/saga/undo:back 3 1")


def worked_after_its_stop(spoiled: Spoiled) -> None:
    spoiled.say(1, "left", flow="", value=1, pid=0)
    spoiled.say(2, "landed", flow="")


SPOILED: tuple[tuple[Callable[[Spoiled], None], Callable[[Story], Iterator[str]]], ...] = (
    (wrong, rules.found_wrong),
    (other_result, rules.result_is_predicted),
    (interruption_nobody_told, rules.result_is_predicted),
    (stumbled_again, rules.stumbled_in_vain),
    (began_twice, rules.begun_without_leave),
    (began_a_preset, rules.preset_begins_never),
    (tidied_too_early, rules.tidies_when_the_wait_is_over),
    (shipped_and_delivered, rules.renamed_once_begins_once),
    (renamed_and_done_again, rules.renamed_is_found_again),
    (another_version, rules.version_stays),
    (woke_early, rules.moment_is_never_early),
    (turned_back, rules.read_states_never_turn_back),
    (jumped_the_queue, rules.first_come_first_served),
    (cancelled_although_left_alone, rules.cancel_goes_by_policy),
    (ended_well_after_its_parent, rules.cancel_goes_by_policy),
    (did_not_compensate, rules.cancelled_flow_compensates),
    (did_not_undo, rules.saga_undoes_what_was_done),
    (worked_after_its_stop, rules.stopped_does_nothing),
)


def test_a_sound_history_breaks_no_rule(spoiled: Spoiled) -> None:
    assert [found for rule in RULES for found in rule(spoiled.story())] == []


@pytest.mark.parametrize(("spoil", "rule"), SPOILED, ids=lambda one: one.__name__)
def test_a_spoiled_history_breaks_its_rule_alone(
    spoiled: Spoiled,
    spoil: Callable[[Spoiled], None],
    rule: Callable[[Story], Iterator[str]],
) -> None:
    spoil(spoiled)
    assert [one.__name__ for one in RULES if list(one(spoiled.story()))] == [rule.__name__]


def test_every_rule_has_a_spoiled_history() -> None:
    assert {rule for _, rule in SPOILED} == set(RULES)


def test_too_many_behind_the_lock_or_in_the_room_are_found(spoiled: Spoiled) -> None:
    for number, flow in enumerate((FLOW, OTHER, CHILD)):
        spoiled.say(number + 1, "entered", str(number), flow, value="room")
        spoiled.say(5, "left", str(number), flow, value="room")
    assert len(met_behind_a_lock(spoiled.world.lines)) == 1
    spoiled.say(10, "entered", "a", FLOW, value="lock")
    spoiled.say(11, "left", "a", FLOW, value="lock")
    spoiled.say(12, "entered", "b", OTHER, value="lock")
    spoiled.say(14, "left", "b", OTHER, value="lock")
    assert len(met_behind_a_lock(spoiled.world.lines)) == 1
    spoiled.say(13, "entered", "c", FLOW, value="lock")
    assert len(met_behind_a_lock(spoiled.world.lines)) == 2


def test_a_flow_that_is_done_although_it_was_cancelled_is_found(spoiled: Spoiled) -> None:
    spoiled.say(5, "cancelled", flow=CHILD, value="accepted")
    found = ended_well_although_cancelled(spoiled.world.lines, spoiled.end)
    assert found == [f"cancelled: {CHILD} is done"]
    spoiled.say(6, "restarting", flow=CHILD)
    assert ended_well_although_cancelled(spoiled.world.lines, spoiled.end) == []
