"""What `==` would let pass is told apart."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from unbroken.serialization.comparison import Comparison

from . import shop

TWO: Any = 2
NAIVE = datetime.fromisoformat("2024-01-01T00:00:00")


def loose(value: Any) -> shop.Loose:
    fields: Any = {"a": 1, "b": value}
    return shop.Loose(**fields)


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        (1, 1.0, ""),
        (1, True, ""),
        (0.0, -0.0, ""),
        (Decimal("1.0"), Decimal("1.00"), ""),
        (Decimal(0), Decimal("-0"), ""),
        ([1, [2, 3]], [1, [2, 3.0]], "[1][1]"),
        ([1], [1, 2], ""),
        ((1,), [1], ""),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "['a']['b']"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "['a']"),
        ({"not a name": 1}, {"not a name": 2}, "[...]"),
        ({1: 1}, {1.0: 1}, "[...]"),
        ({1: 1}, {}, ""),
        ({1}, {1.0}, ""),
        ({1}, {2}, ""),
        ({1}, {1, 2}, ""),
        (frozenset({(1,)}), frozenset({(1.0,)}), ""),
        (shop.Line("a", 1, Decimal(1)), shop.Line("a", 2, Decimal(1)), ".count"),
        (shop.Line("a", 1, Decimal(1)), shop.Line("a", 1, Decimal("1.0")), ".price"),
        (shop.Line("a", 1, Decimal(1)), shop.Line("a", True, Decimal(1)), ".count"),
        (shop.Money(1.0, "EUR"), shop.Money(1.0, "USD"), ".currency"),
        (shop.Money(0.0), shop.Money(-0.0), ".amount"),
        (shop.Animal("a"), shop.Dog("a"), ""),
        (shop.Animal("a"), shop.Animal("b"), ".name"),
        (shop.Point(1, "a"), shop.Point(1, "b"), "._hidden"),
        (shop.Cell(1, [1]), shop.Cell(1, [2]), ".value[0]"),
        (shop.Pair(TWO, TWO), shop.Pair(TWO, TWO * 1.0), "[1]"),
        (shop.Tree(1, [shop.Tree(2)]), shop.Tree(1, [shop.Tree(3)]), ".children[0].value"),
        (shop.Colour.RED, shop.Colour.BLUE, ""),
        (shop.Customer(name="a"), shop.Customer(name="b"), "['name']"),
        (shop.Customer(name="a"), shop.Customer(name="a", born=None), ""),
        (loose(1), loose(2), "['b']"),
        (ValueError("a"), ValueError("b"), ".args[0]"),
        (NAIVE, NAIVE.replace(fold=1), ""),
        (NAIVE, NAIVE.replace(tzinfo=UTC), ""),
        (
            datetime(2024, 1, 1, 1, tzinfo=UTC),
            datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=1))),
            "",
        ),
        (time(1, tzinfo=UTC), time(1), ""),
        (object(), object(), ""),
    ],
)
def test_difference_is_found_at_its_path(before: object, after: object, path: str) -> None:
    comparison = Comparison()
    for _ in range(2):  # the second time by what was learnt of the class
        assert comparison.difference(before, before) is None
        found = comparison.difference(before, after)
        assert found is not None
        assert found.path == path
        back = comparison.difference(after, before)
        assert back is not None


def test_many_shapes_of_one_class_are_all_compared() -> None:
    comparison = Comparison()
    kinds = [type(f"Kind{index}", (), {}) for index in range(100)]
    for kind in kinds:
        one = kind()
        assert comparison.difference(shop.Anything(one), shop.Anything(one)) is None
        assert comparison.difference(shop.Anything(one), shop.Anything(kind())) is not None


def test_attributes_beside_the_fields_of_an_undecorated_class_are_compared() -> None:
    one, other = shop.Plain("a"), shop.Plain("a")
    assert Comparison().difference(one, other) is None
    del other.secret
    assert Comparison().difference(one, other) is not None
    bare = shop.Plain("b")
    found = Comparison().difference(one, bare)
    assert found is not None
    assert found.path == ".name"


def test_class_without_fields_compares_by_class() -> None:
    @shop.dataclasses.dataclass
    class Empty: ...

    assert Comparison().difference(Empty(), Empty()) is None
