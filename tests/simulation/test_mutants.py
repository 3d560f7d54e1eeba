"""The simulator finds broken engines; if it did not, that it finds nothing would mean nothing."""

import re

import pytest

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.mutants.fears import FEARS
from tests.simulation.mutants.hunting import killer_of
from unbroken.stores.sqlite.connection import SQL

# `make mutants` looks at two thousand.
SEEDS = range(40)
FOUND_SOON = [one for one in MUTANTS.values() if not (one.survives or one.is_slow)]
PARAMETER = re.compile(r"(?<![\w:])[:?]\w+")

pytestmark = pytest.mark.crash


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", FOUND_SOON, ids=lambda mutant: mutant.what)
def test_a_broken_engine_is_found_out(mutant: Mutant) -> None:
    assert killer_of(mutant, SEEDS) is not None


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=lambda mutant: mutant.what)
def test_a_mutant_differs_and_takes_the_parameters_that_it_is_given(mutant: Mutant) -> None:
    """A statement that cannot run would be found out as well, and prove nothing."""
    before = dict(SQL)
    with mutant.apply():
        changed = {name for name, text in SQL.items() if text != before[name]}
        for name in changed:
            asked, given = (set(PARAMETER.findall(one)) for one in (SQL[name], before[name]))
            assert asked <= given, name
            # Those without names are bound one by one.
            assert {one for one in given - asked if one.startswith("?")} == set(), name
    assert dict(SQL) == before


def test_every_fear_has_its_mutants_and_every_mutant_its_fear() -> None:
    named = {one for ones in FEARS.values() if isinstance(ones, tuple) for one in ones}
    assert named == set(MUTANTS)


def test_who_survives_has_a_reason_and_no_other_mark() -> None:
    assert [one.what for one in MUTANTS.values() if one.survives and one.is_slow] == []
