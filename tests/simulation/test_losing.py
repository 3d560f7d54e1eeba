"""A store that loses what it acknowledged: what outlives that is sound, and goes on."""

import pytest

from tests.simulation.losing import judge

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]


def test_what_outlives_a_lost_tail_is_sound() -> None:
    found = [judge(seed) for seed in range(20)]
    assert [(seed, one.problems) for seed, one in enumerate(found) if one.problems] == []
    assert sum(one.losses for one in found) > 20
    assert sum(one.ended for one in found) > sum(one.waiting for one in found)
