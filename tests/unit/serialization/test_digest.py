"""The digest tells calls apart, and is the same number in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from uuid import UUID

import pytest

from unbroken.serialization.serializer import Serializer

from . import shop

ID = UUID(int=5)
CALLS: list[tuple[tuple[object, ...], dict[str, object]]] = [
    (("a", 1), {}),
    (("a",), {"b": 1}),
    (({"x", "y", "z", "w"},), {}),
    ((frozenset({("a", 1), ("b", 2)}), ID), {}),
    (({"k": {"x", "y", "z"}},), {}),
    (({1: "a", (2, 3): {"x", "y"}},), {}),
    (({1, "a", None, ID},), {}),
    ((shop.Line("a", 1, Decimal(1)), shop.Customer(name="a")), {"z": [1], "a": {2}}),
    ((shop.Mixed.PAIR,), {}),
    (({"b": 1, "a": 2},), {}),
    (({1: shop.Colour.RED, 2: shop.Level.LOW, 3: shop.Cell(1)},), {}),
    (({frozenset("ab"), frozenset("cd"), frozenset("ef"), 1},), {}),
]


def digests() -> list[int | None]:
    serializer = Serializer()
    return [serializer.digest(args, kwargs) for args, kwargs in CALLS]


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_digest_is_the_same_in_another_process_with_another_hash_seed(seed: str) -> None:
    code = f"from {__name__} import digests; print(digests())"
    child = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == str(digests())


def test_all_these_calls_have_different_digests() -> None:
    found = digests()
    assert None not in found
    assert len(set(found)) == len(CALLS)


def test_no_arguments_are_zero() -> None:
    assert Serializer().digest((), {}) == 0


def test_order_of_keywords_makes_no_difference() -> None:
    serializer = Serializer()
    assert serializer.digest((), {"a": 1, "b": 2}) == serializer.digest((), {"b": 2, "a": 1})


def test_equal_arguments_are_equal_and_others_differ() -> None:
    serializer = Serializer()
    assert serializer.digest((ID, "a"), {}) == serializer.digest((UUID(int=5), "a"), {})
    assert serializer.digest(("a",), {}) != serializer.digest(("b",), {})
    assert serializer.digest(("a", "b"), {}) != serializer.digest(("b", "a"), {})


@pytest.mark.parametrize("argument", [object(), len, iter([]), shop.NotData()])
def test_what_has_no_form_has_no_digest(argument: object) -> None:
    assert Serializer().digest((1, argument), {}) is None
    assert Serializer().digest((), {"a": [argument]}) is None


def test_argument_that_holds_itself_has_no_digest() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    assert Serializer().digest((cycle,), {}) is None
