"""A flow's arguments survive deploys: they are kept by parameter name."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from unbroken.model.errors import (
    DeserializationError,
    NotSerializable,
    PayloadTooLarge,
    ValueChanged,
)
from unbroken.serialization.serializer import Serializer

from . import shop
from .proof import assert_same

LINE = shop.Line("a", 1, Decimal("1.50"))


def parts(flow: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    return inspect.signature(flow), typing.get_type_hints(flow)


def write(flow: Callable[..., Any], *args: object, **kwargs: object) -> str:
    signature, hints = parts(flow)
    return Serializer().encode_arguments(signature, args, kwargs, hints)


def read(flow: Callable[..., Any], text: str) -> inspect.BoundArguments:
    signature, hints = parts(flow)
    args, kwargs = Serializer().decode_arguments(signature, text, hints)
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound


def simple(line: shop.Line, count: int = 3) -> None: ...
def everything(a: int, /, b: Any, *c: shop.Animal, d: str = "d", **e: float) -> None: ...
def nothing() -> None: ...


def test_arguments_are_a_json_object_by_parameter_name() -> None:
    text = write(simple, LINE, count=5)
    assert json.loads(text) == {"line": {"sku": "a", "count": 1, "price": "1.50"}, "count": 5}


def test_position_or_keyword_makes_no_difference() -> None:
    assert write(simple, LINE, 5) == write(simple, line=LINE, count=5)


@pytest.mark.parametrize(
    ("flow", "args", "kwargs"),
    [
        (nothing, (), {}),
        (simple, (LINE,), {}),
        (simple, (LINE, 5), {}),
        (everything, (1, (2, {3})), {}),
        (everything, (1, 2, shop.Dog("d"), shop.Animal("a")), {"d": "x", "f": 1.5, "g": 2}),
    ],
)
def test_arguments_survive(
    flow: Callable[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    bound = inspect.signature(flow).bind(*args, **kwargs)
    bound.apply_defaults()
    after = read(flow, write(flow, *args, **kwargs))
    assert_same(bound.args, after.args)
    assert_same(bound.kwargs, after.kwargs)


def test_each_reading_gives_objects_of_its_own() -> None:
    text = write(simple, LINE)
    first, second = read(simple, text), read(simple, text)
    assert first.args[0] == second.args[0] == LINE
    assert first.args[0] is not second.args[0]


def test_new_parameter_takes_its_default_and_removed_one_is_ignored() -> None:
    def newer(
        fresh: int = 7, *rest: int, line: shop.Line, also: str = "x", **more: int
    ) -> None: ...

    assert read(newer, write(simple, LINE, 5)).arguments == {
        "fresh": 7,
        "rest": (),
        "line": LINE,
        "also": "x",
        "more": {},
    }


def test_reordered_parameters_keep_their_values() -> None:
    def newer(count: int, line: shop.Line) -> None: ...

    assert read(newer, write(simple, LINE, 5)).arguments == {"count": 5, "line": LINE}


def test_missing_parameter_without_default_is_named() -> None:
    def newer(line: shop.Line, customer: str) -> None: ...

    with pytest.raises(DeserializationError, match="give it a default") as caught:
        read(newer, write(simple, LINE))
    assert caught.value.path == "$.customer"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"line":{"sku":"a","count":1,"price":[]}}', "$.line.price"),
        ('{"line":{"sku":"a","count":1}}', "$.line.price"),
        ('{"line":{"$":"x:Y","of":1}}', "$.line"),
        ('{"line":1}', "$.line"),
        ("[]", "$"),
        ("nonsense", "$"),
        ('{"line":1,"line":2}', "$"),
    ],
)
def test_misfit_names_the_path_from_the_parameter(text: str, path: str) -> None:
    with pytest.raises(DeserializationError) as caught:
        read(simple, text)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"a":1,"b":1,"c":[{"name":"a"},{"name":1}]}', "$.c[1].name"),
        ('{"a":1,"b":1,"c":{}}', "$.c"),
        ('{"a":1,"b":1,"e":{"f":"x"}}', "$.e.f"),
        ('{"a":1,"b":1,"e":[]}', "$.e"),
    ],
)
def test_misfit_of_many_names_the_member(text: str, path: str) -> None:
    with pytest.raises(DeserializationError) as caught:
        read(everything, text)
    assert caught.value.path == path


def test_argument_that_cannot_be_kept_is_refused_with_its_path() -> None:
    with pytest.raises(NotSerializable) as caught:
        write(everything, 1, {"k": [object()]})
    assert caught.value.path == "$.b['k'][0]"
    with pytest.raises(ValueChanged) as changed:
        write(everything, 1, shop.Plain("x"))
    assert changed.value.path == "$.b"


def test_wrong_call_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="missing a required argument"):
        write(simple)


def test_too_large_arguments_are_refused() -> None:
    signature, hints = parts(simple)
    big = shop.Line("x" * 100, 1, Decimal(1))
    with pytest.raises(PayloadTooLarge):
        Serializer(limit=50).encode_arguments(signature, (big,), {}, hints)
