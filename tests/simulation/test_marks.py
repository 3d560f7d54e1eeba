"""The ledger of things that sometimes happen: the seeds of a test run meet all but the rarest.

With UNBROKEN_SEEDS=5000 they are so many that they must meet those too.
"""

import pytest

from tests.simulation import marks
from tests.simulation.block import IS_WHOLE, block

pytestmark = [pytest.mark.crash, pytest.mark.timeout(2400), pytest.mark.xdist_group("block")]


def test_every_mark_is_met() -> None:
    never = marks.missing(block().met)
    assert [mark for mark in never if IS_WHOLE or mark not in marks.RARE] == []


def test_what_is_said_to_be_rare_is_a_mark() -> None:
    assert marks.RARE.keys() <= set(marks.MARKS)


def test_a_mark_that_is_not_listed_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="not listed"):
        marks.Marks().note("the moon is blue")
