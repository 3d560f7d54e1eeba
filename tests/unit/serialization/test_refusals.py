"""What cannot be kept is refused by a named error that points at the place and says what to do."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from unbroken.model.errors import (
    NotSerializable,
    PayloadTooLarge,
    SerializationError,
    UnbrokenError,
    ValueChanged,
)
from unbroken.serialization.serializer import Serializer

from . import shop


def _generator() -> Iterator[int]:
    yield 1


async def _async_generator() -> Any:
    yield 1


async def _coroutine() -> None: ...


def _cycle() -> list[object]:
    cycle: list[object] = []
    cycle.append(cycle)
    return cycle


def _deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


OBJECT: Any = object()


class _Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "path", "advice"),
    [
        (_generator(), "$", "return a list, or use for_each"),
        (_async_generator(), "$", "return a list, or use for_each"),
        (iter([]), "$", "return a list, or use for_each"),
        ({"a": [map(str, [])]}, "$['a'][0]", "return a list, or use for_each"),
        (float("nan"), "$", "NaN"),
        ([1, float("inf")], "$[1]", "NaN"),
        (shop.Money(float("-inf")), "$.amount", "NaN"),
        ({"k": {"l": float("nan")}}, "$['k']['l']", "NaN"),
        ("\ud800", "$", "lone surrogate"),
        ({"\ud800": 1}, "$[...]", "lone surrogate"),
        (shop.Animal("\udfff"), "$.name", "lone surrogate"),
        (10**4300, "$", "4300 digits"),
        ([-(10**5000)], "$[0]", "4300 digits"),
        (object(), "$", "no data class"),
        (shop.NotData(), "$", "shop:NotData is no data class"),
        ([shop.Anything(threading.Lock())], "$[0].value", "no data class"),
        (_Text("x"), "$", "no data class"),
        (collections.OrderedDict(a=1), "$", "no data class"),
        (collections.Counter("a"), "$", "no data class"),
        (collections.deque([1]), "$", "no data class"),
        (range(3), "$", "no data class"),
        ({}.keys(), "$", "no data class"),
        (shop.Dog, "$", "code, not data"),
        (len, "$", "code, not data"),
        (_cycle, "$", "code, not data"),
        (asyncio, "$", "code, not data"),
        (NotImplemented, "$", "no data class"),
        (_cycle(), "$" + "[0]" * 101, "nested deeper"),
        (_deep(101), "$", "nested deeper"),
        (shop.Dog("a", tricks=OBJECT), "$.tricks", "no data class"),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_value_is_refused_with_its_place_and_advice(value: object, path: str, advice: str) -> None:
    for annotation in (Any, type(value), list[int], shop.Line | shop.Animal):
        with pytest.raises(NotSerializable, match=advice) as caught:
            Serializer().round_trip(value, annotation)
        assert caught.value.path == path


async def test_awaitable_is_refused() -> None:
    coroutine = _coroutine()
    try:
        with pytest.raises(NotSerializable, match="await it first"):
            Serializer().round_trip(coroutine)
    finally:
        coroutine.close()


def test_hundred_levels_are_kept() -> None:
    value = _deep(100)
    assert Serializer().round_trip(value)[1] == value


def test_errors_are_of_one_family() -> None:
    for error in (NotSerializable, ValueChanged, PayloadTooLarge):
        assert issubclass(error, SerializationError)
    assert issubclass(SerializationError, UnbrokenError)


def test_too_large_names_size_limit_and_key() -> None:
    serializer = Serializer(limit=10)
    serializer.round_trip("x" * 8)
    with pytest.raises(PayloadTooLarge) as caught:
        serializer.round_trip("x" * 9, key="letter")
    assert (caught.value.size, caught.value.limit, caught.value.key) == (11, 10, "letter")
    with pytest.raises(PayloadTooLarge):
        serializer.encode(("x" * 9,))


def test_too_large_is_refused_before_it_is_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(shop.Total, "__post_init__", lambda total: made.append(1))
    total = shop.Total(list(range(100)))
    made.clear()
    for annotation in (shop.Total, Any, list[shop.Total]):
        with pytest.raises(PayloadTooLarge) as caught:
            Serializer(limit=100).round_trip(total, annotation, key="total")
        assert caught.value.key == "total"
    assert made == []


def test_size_is_counted_in_bytes() -> None:
    with pytest.raises(PayloadTooLarge):
        Serializer(limit=10).round_trip("é" * 5)


@pytest.mark.parametrize("annotation", [Any, object])
def test_strict_refuses_what_has_no_annotation(annotation: object) -> None:
    serializer = Serializer(strict=True)
    serializer.round_trip(1, int)
    serializer.round_trip(None, None)
    with pytest.raises(NotSerializable, match="annotate `-> int`"):
        serializer.round_trip(1, annotation)


@dataclasses.dataclass
class Hostile:
    value: int

    def __getattribute__(self, name: str) -> object:
        if name == "value":
            raise ZeroDivisionError("no")
        return super().__getattribute__(name)


class Unequal:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __hash__(self) -> int:
        raise RuntimeError("no hash")


@dataclasses.dataclass
class Greedy:
    """Counts its instances, so that no two are alike."""

    items: list[int]

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)

    def __post_init__(self) -> None:
        self.items.append(len(self.items))


def test_class_that_raises_on_every_touch_is_refused() -> None:
    with pytest.raises(NotSerializable):
        Serializer().round_trip(Hostile(1), Hostile)
    with pytest.raises(NotSerializable):
        Serializer().round_trip({"a": Unequal()})


def test_post_init_that_changes_what_was_stored_is_reported() -> None:
    with pytest.raises(ValueChanged) as caught:
        Serializer().round_trip({"a": Greedy([])})
    assert caught.value.path == "$['a'].items"


def test_field_that_was_never_set_is_named() -> None:
    money = object.__new__(shop.Money)
    with pytest.raises(NotSerializable, match="never set") as caught:
        Serializer().round_trip([money], list[shop.Money])
    assert caught.value.path == "$[0].amount"


@dataclasses.dataclass
class OnceOnly:
    value: int

    def __post_init__(self) -> None:
        if self.value == 0:
            raise KeyError("refused")


def test_value_that_cannot_be_read_back_is_refused() -> None:
    value = OnceOnly(1)
    value.value = 0
    with pytest.raises(NotSerializable, match="cannot be read back"):
        Serializer().round_trip(value, OnceOnly)
    with pytest.raises(NotSerializable, match="cannot be read back"):
        Serializer().round_trip([value])
