"""What counts as recorded by the code that runs in this very process."""

from types import SimpleNamespace
from typing import Any

import pytest

from unbroken.engine.own_runs import OwnRuns
from unbroken.model.records import Effect, Kind


def run(number: int, *, param: str = "{}", failures: int = 0) -> Any:
    """Stand in for an incarnation."""
    flow = SimpleNamespace(number=7)
    return SimpleNamespace(number=number, param=param, failures=failures, flow=flow)


def own(runs: OwnRuns, incarnation: Any) -> list[int]:
    """Give the incarnations whose effects count as recorded here."""
    effects = [Effect("a", Kind.CAPTURE, "1", incarnation=n) for n in range(10)]
    return [one.incarnation for one in effects if runs.recorded(incarnation, one)]


def after(*incarnations: Any) -> list[int]:
    runs = OwnRuns(strict=True)
    for one in incarnations:
        runs.begins(one)
    return own(runs, incarnations[-1])


@pytest.mark.parametrize(
    ("incarnations", "recorded"),
    [
        ([run(1)], []),
        ([run(1), run(2), run(3)], [1, 2]),
        ([run(4), run(5)], [4]),
        ([run(1), run(1), run(2)], [1]),
        ([run(1), run(3)], []),
        ([run(1), run(3), run(4)], [3]),
        ([run(1), run(2, param='{"n":1}')], []),
        ([run(1), run(2, failures=1)], []),
    ],
    ids=[
        "the first run",
        "runs in a row",
        "begun elsewhere",
        "read again",
        "another process in between",
        "and then again here",
        "other arguments",
        "tried again",
    ],
)
def test_only_runs_in_a_row_count(incarnations: list[Any], recorded: list[int]) -> None:
    assert after(*incarnations) == recorded


def test_a_flow_that_has_ended_begins_a_new_row() -> None:
    runs = OwnRuns(strict=True)
    runs.begins(run(1))
    runs.ends(run(1))
    runs.begins(run(2))
    assert own(runs, run(2)) == []


def test_without_strict_mode_nothing_counts() -> None:
    runs = OwnRuns(strict=False)
    runs.begins(run(1))
    runs.begins(run(2))
    runs.ends(run(2))
    assert own(runs, run(2)) == []
