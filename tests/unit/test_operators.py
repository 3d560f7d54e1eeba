"""The operators of streams against what itertools and lists say."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unbroken.engine.operators import (
    NOTHING,
    Chunk,
    DistinctBy,
    Map,
    OfTypes,
    Operator,
    Pipeline,
    Scan,
    Skip,
    Stage,
    Take,
    TakeUntil,
    Where,
    plain,
)
from unbroken.model.errors import UsageError

Values = list[object]


def number(value: object) -> int:
    """Give a number of anything: chunks are values too."""
    return sum(map(number, value)) if isinstance(value, list) else int(str(value))


def is_even(value: object) -> bool:
    return number(value) % 2 == 0


def add(total: int, value: object) -> int:
    return total + number(value)


def distinct(values: Values) -> Values:
    seen: set[int] = set()
    return [v for v in values if not (number(v) % 4 in seen or seen.add(number(v) % 4))]


def chunks(values: Values, size: int) -> Values:
    return [values[at : at + size] for at in range(0, len(values), size)]


class Law:
    """An operator, and what a whole list becomes by it."""

    def __init__(
        self, begin: Callable[[], Stage], whole: Callable[[Values], Values], *, ends: bool = False
    ) -> None:
        self.operator = Operator(begin, ends=ends)
        self.whole = whole


def laws(count: int) -> list[Law]:
    return [
        Law(partial(Where, is_even), lambda values: [v for v in values if is_even(v)]),
        Law(partial(OfTypes, (int,)), lambda values: [v for v in values if isinstance(v, int)]),
        Law(partial(Map, number), lambda values: [number(v) for v in values]),
        Law(
            partial(Scan, 1, add),
            lambda values: Values(itertools.accumulate(map(number, values), initial=1))[1:],
        ),
        Law(partial(Take, count), lambda values: values[:count], ends=True),
        Law(partial(Skip, count), lambda values: values[count:]),
        Law(
            partial(TakeUntil, is_even),
            lambda values: list(itertools.takewhile(lambda v: not is_even(v), values)),
            ends=True,
        ),
        Law(partial(DistinctBy, lambda value: number(value) % 4), distinct),
        Law(partial(Chunk, count), lambda values: chunks(values, count)),
    ]


a_law = st.integers(1, 4).flatmap(lambda count: st.sampled_from(laws(count)))


def run(pipeline: Pipeline, values: Values) -> tuple[Values, int]:
    """Feed values until the pipeline is complete, else finish it; say how many it needed."""
    found: Values = []
    for fed, value in enumerate(values, 1):
        found.append(pipeline.feed(value))
        if pipeline.is_complete:
            return [one for one in found if one is not NOTHING], fed
    found.append(pipeline.finish())
    return [one for one in found if one is not NOTHING], len(values)


@given(st.lists(a_law, max_size=5), st.lists(st.integers(0, 9), max_size=30))
def test_a_pipeline_gives_what_whole_lists_give(chosen: list[Law], values: list[int]) -> None:
    expected: Values = list(values)
    for law in chosen:
        expected = law.whole(expected)
    found, _ = run(Pipeline([law.operator for law in chosen]), list(values))
    assert found == expected


@given(st.lists(a_law, max_size=5), st.lists(st.integers(0, 9), max_size=30))
def test_a_pipeline_asks_for_no_value_behind_its_end(chosen: list[Law], values: list[int]) -> None:
    """What it gave for the values that it needed is what it gives for all."""
    operators = [law.operator for law in chosen]
    found, needed = run(Pipeline(operators), list(values))
    again = Pipeline(operators)
    for value in values[: needed - 1]:
        again.feed(value)
        assert not again.is_complete
    if needed < len(values):
        assert run(Pipeline(operators), list(values[:needed])) == (found, needed)


@given(st.lists(a_law, max_size=5), st.lists(st.integers(0, 9), max_size=30))
def test_a_pipeline_is_made_anew_for_each_use(chosen: list[Law], values: list[int]) -> None:
    operators = [law.operator for law in chosen]
    assert run(Pipeline(operators), list(values)) == run(Pipeline(operators), list(values))


def test_a_complete_pipeline_lets_out_what_stands_behind_the_operator_that_ended_it() -> None:
    operators = [
        Operator(partial(Chunk, 2)),
        Operator(partial(Take, 2)),
        Operator(partial(Chunk, 5)),
    ]
    assert run(Pipeline(operators), [1, 2, 3, 4, 5]) == ([[[1, 2], [3, 4]]], 4)


async def later() -> None: ...


def test_what_must_be_awaited_is_no_value() -> None:
    with pytest.raises(UsageError, match=r"map\(…\) of a stream was given an async function"):
        plain(later(), "map")
