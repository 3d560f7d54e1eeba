"""Every invariant has a rule or a reason, and every rule that is named exists and is asked."""

import pytest

from tests.crash import checker
from tests.simulation import judging, judging_leases, judging_programs
from tests.simulation.invariants import INVARIANTS, Invariant

NUMBERS = range(1, 48)
ASKED = {
    *(rule.__name__ for rule in checker.RULES),
    *(rule.__name__ for rule in judging_programs.RULES),
    judging.wrongly_consumed.__name__,
    judging.met_behind_a_lock.__name__,
    judging.ended_well_although_cancelled.__name__,
    judging_leases.begun_after_the_lease.__name__,
}


def test_every_invariant_is_there_in_its_order() -> None:
    assert list(INVARIANTS) == [f"I{number}" for number in NUMBERS]


@pytest.mark.parametrize("invariant", INVARIANTS.values(), ids=INVARIANTS)
def test_it_has_rules_that_are_asked_or_says_who_judges_it(invariant: Invariant) -> None:
    assert bool(invariant.rules) != bool(invariant.instead)
    assert set(invariant.rules) <= ASKED


def test_judged_asks_each_rule_that_stands_alone() -> None:
    asked = set(judging.judged.__code__.co_names)
    assert {
        "check",
        "RULES",
        "wrongly_consumed",
        "met_behind_a_lock",
        "ended_well_although_cancelled",
        "begun_after_the_lease",
    } <= asked
