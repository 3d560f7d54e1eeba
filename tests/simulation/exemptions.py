"""Where a rule of the crash tests does not hold as it stands, because of what a program does.

Each exemption is as narrow as its reason; what it lets through is looked at by a rule of our own,
named beside it.
"""

from __future__ import annotations

import re
from collections import defaultdict

from tests.crash.checker.history import Violation
from tests.crash.torture.acts import DEPLOYED
from tests.crash.torture.programs import UNFIT_CODE, Program, walk
from tests.simulation.world import World

# `wrongly_consumed` and `result_is_predicted` look more closely.
REPLACED = frozenset({"stored_consumption_agrees", "result_is_as_expected"})
# The names of effects that not every code asks for, or not in this order.
CHANGING = frozenset({"added", "removed", "left", "right", "former", "latter", "ship", "deliver"})
WRITTEN_IN = re.compile(r"was EffectRow\(.*?incarnation=(\d+)\)")
GONE = frozenset({"stored_is_never_rewritten"})
SIDE_BY_SIDE = frozenset({"branches", "race", "unflushed"})
BEGUN_AGAIN = frozenset({"completed_never_begins_again", "stored_is_never_rewritten"})
ONCE = frozenset(
    {
        "at_most_once_begins_once",
        "interrupted_is_told_and_stays_told",
        "stored_is_never_rewritten",
        "completed_never_begins_again",
    }
)
FORGOTTEN_WITH_THE_JOURNAL = frozenset(
    {
        "stored_is_never_rewritten",
        "marker_is_stored_before_the_body",
        "lost_part_is_a_suffix",
    }
)
FORGOTTEN_WITH_MESSAGES = frozenset(
    {"accepted_is_stored", "answer_is_the_stored_one", "equal_keys_are_one_message"}
)


class Exemptions:
    """What is let through in one run."""

    def __init__(self, world: World, programs: dict[str, Program]) -> None:
        self._unjudged = world.weather.unjudged
        self._programs = programs
        self._cancelled = {line.flow for line in world.lines_of("cancelled")}
        self._has_deploys = bool(world.lines_of("deployed"))
        self._restarted = {line.flow for line in world.lines_of("restarting")}
        self._removed = {(line.flow, line.effect) for line in world.lines_of("removing")}
        self._tried_again_by_unfit = tried_again_by_unfit(world)
        self._runs: defaultdict[str, int] = defaultdict(int)
        self._last_run_began: dict[str, int] = {}
        for line in world.lines_of("started"):
            if line.value[0] > self._runs[line.flow]:
                self._runs[line.flow] = line.value[0]
                self._last_run_began[line.flow] = line.incarnation

    def is_exempt(self, broken: Violation) -> bool:
        """Whether a rule was broken by intent."""
        rule, flow, effect = broken.rule, broken.flow, broken.text.partition(":")[0]
        return (
            rule in REPLACED | self._unjudged
            or (rule == "lost_part_is_a_suffix" and self._may_be_a_gap(flow, effect))
            or (rule == "order_is_kept" and "message:Letter" in broken.text)  # each wants its own
            or (rule == "state_never_turns_back" and self._shows_again(flow))
            or self._is_cut_by_a_cancel(broken)
            or self._is_begun_by_who_lost_a_lease_to_the_clock(rule, broken.text)
            or self._is_forgotten(rule, flow, broken.text)
            or (rule in BEGUN_AGAIN and effect.startswith("stumble "))  # `stumbled_in_vain`
            or (rule in ONCE and self._is_removed(flow, effect))  # `begun_without_leave`
            or (rule in ONCE and flow in self._tried_again_by_unfit and is_shipped(effect))
        )

    def _is_begun_by_who_lost_a_lease_to_the_clock(self, rule: str, text: str) -> bool:
        """Whether a body began beside its successor's: a leap of the store's clock ends leases."""
        return bool(self._unjudged) and rule in BEGUN_AGAIN and ": seen at " in text

    def _shows_again(self, flow: str) -> bool:
        """Whether a flow does something new before what it has shown already.

        Newer code may; so does one that failed and queues up again for the places it held.
        """
        kinds = {act.kind for act in walk(self._programs.get(flow, ()))}
        queues_again = flow.startswith("persist ") and bool(kinds & {"lock", "room"})
        changes = self._has_deploys and bool(kinds & set(DEPLOYED))
        return changes or queues_again or flow in self._restarted

    def _may_be_a_gap(self, flow: str, effect: str) -> bool:
        """Whether another part of a flow may be recorded although this one is not, or no more."""
        word = effect.partition(" ")[0]
        if word in {"stumble", "strict", "poison"} or (self._has_deploys and word in CHANGING):
            return True
        program = self._programs.get(flow, ())
        return any(act.kind in SIDE_BY_SIDE for act in walk(program))

    def _is_cut_by_a_cancel(self, broken: Violation) -> bool:
        """A cancel cuts what runs beside it, and leaves a loop without its last word."""
        parts = broken.flow.partition(" ")[2].split("/")
        above = {f"{kind} {parts[0]}" for kind in ("interpret", "persist")}
        above |= {f"interpret {'/'.join(parts[:end])}" for end in range(2, len(parts) + 1)}
        if not above & self._cancelled:
            return False
        cut = broken.rule == "interrupted_is_told_and_stays_told"
        left = broken.rule == "stored_is_never_rewritten" and "for_each" in broken.text[:100]
        return cut or left

    def _is_forgotten(self, rule: str, flow: str, text: str) -> bool:
        """A new run forgets the journal, and after one more run the messages too."""
        runs = self._runs[flow]
        written = WRITTEN_IN.search(text)
        if runs and rule in FORGOTTEN_WITH_THE_JOURNAL:
            return written is None or int(written[1]) < self._last_run_began[flow]
        was_above = rule == "completed_never_begins_again" and "was stored" in text
        if runs and was_above and "/" in text.partition(":")[0]:
            return True  # in the same place of a former run
        if runs > 1 and rule in FORGOTTEN_WITH_MESSAGES:
            return True
        was_restarted = flow in self._restarted
        if was_restarted and rule == "ended_stays_ended" and text.startswith("was "):
            return True
        is_lock = "kind='lock'" in text.partition(", is ")[0]
        may_fail = was_restarted or flow.startswith("persist ")
        return may_fail and rule in GONE and is_lock

    def _is_removed(self, flow: str, effect: str) -> bool:
        return any(
            flow == other and effect in {name, f"{name}.begun"} for other, name in self._removed
        )


def tried_again_by_unfit(world: World) -> frozenset[str]:
    """Give the flows that failed, maybe, and were tried again by code without the former names.

    Such a flow may well go another way: the engine asks, and does not park it.
    """
    return frozenset(
        line.flow
        for line in world.lines_of("started")
        if line.flow.startswith("persist ") and line.value[1] == UNFIT_CODE
    )


def is_shipped(effect: str) -> bool:
    """Whether an effect has one name in some code, and another one in other code."""
    return effect.rpartition("/")[2].startswith(("ship ", "deliver "))
