"""Stored data meets newer code: what fits is read, the rest is a named error with its path."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest

from unbroken.model.errors import DeserializationError
from unbroken.serialization.serializer import Payload, Serializer

from . import shop
from .proof import survives

CANARY = "canary-4711"


ORDER = (
    '{"id":"00000000-0000-0000-0000-000000000000","placed":"2024-01-01T00:00:00",'
    '"lines":[{"sku":"a","count":1,"price":"1"},{"sku":"a","count":"2","price":"1"}]}'
)


@dataclasses.dataclass
class Newer:
    sku: str
    fresh: int = 7
    made: list[int] = dataclasses.field(default_factory=list)


def decode(body: str, annotation: object = Any, type_name: str | None = None) -> object:
    return Serializer().decode(Payload(type_name, body), annotation)


def test_removed_field_is_ignored_and_new_field_takes_its_default() -> None:
    assert decode('{"sku":"a","count":2}', Newer) == Newer("a")


@pytest.mark.parametrize(
    ("cls", "fields", "expected"),
    [
        (Newer, '{"sku":"a","gone":1}', Newer("a")),
        (shop.Cell, '{"row":1,"gone":1}', shop.Cell(1)),
        (shop.Sparse, '{"x":1,"gone":1}', shop.Sparse(1)),
        (shop.Point, '{"x":1,"gone":1}', shop.Point(1)),
        (shop.Vip, '{"name":"v","gone":1}', shop.Vip(name="v")),
        (shop.Total, '{"parts":[1,2],"made":4}', None),
    ],
    ids=str,
)
def test_the_same_holds_for_data_kept_field_by_field(
    cls: type, fields: str, expected: object
) -> None:
    name = f"{cls.__module__}:{cls.__qualname__}"
    extra = ',"set":["name"]' if cls is shop.Vip else ""
    value = decode(f'{{"$":"{name}","fields":{fields}{extra}}}', cls, name)
    if expected is None:
        assert isinstance(value, shop.Total)
        assert (value.total, value.made) == (3, 4)
    else:
        assert value == expected


def test_attrs_factory_fills_a_new_field() -> None:
    @attrs.define
    class New:
        a: int
        b: list[int] = attrs.field(factory=list)

    serializer = Serializer()
    serializer.know(New)
    name = serializer.type_name(New)
    body = msgspec.json.encode({"$": name, "fields": {"a": 1}}).decode()
    assert serializer.decode(Payload(name, body), New) == New(1, [])


def test_named_tuple_default_fills_a_new_field() -> None:
    class New(NamedTuple):
        a: int
        b: int = 5

    assert decode("[1]", New) == New(1, 5)
    name = Serializer().type_name(New)
    serializer = Serializer()
    serializer.know(New)
    body = msgspec.json.encode({"$": name, "fields": {"a": 1}}).decode()
    assert serializer.decode(Payload(name, body)) == New(1, 5)


class Shrunk(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Wearing:
    colour: Shrunk


@pytest.mark.parametrize(
    ("body", "annotation", "path", "expected", "found"),
    [
        ('{"sku":"a","count":1}', shop.Line, "$.price", "a value", "nothing"),
        ('{"sku":1,"count":1,"price":"1"}', shop.Line, "$.sku", "str", "int"),
        (
            ORDER,
            shop.Order,
            "$.lines[1].count",
            "int",
            "str",
        ),
        ('{"colour":"canary-4711"}', Wearing, "$.colour", "Wearing", "invalid enum value"),
        ('{"k":{"value":"canary-4711"}}', dict[str, shop.Tree], "$[...].value", "int", "str"),
        ('"canary-4711"', int, "$", "int", "str"),
        ("1.5", int, "$", "int", "float"),
        ('"canary-4711"', UUID, "$", "UUID", "invalid UUID"),
        ('"canary-4711"', Decimal, "$", "Decimal", "invalid decimal"),
        ('"canary-4711"', datetime, "$", "datetime", "invalid RFC3339"),
        ('{"k":1}', dict[int, int], "$", "int", "str"),
        ('{"value":11}', shop.Picky, "$", "Picky", "LookupError while reading"),
        ("null", shop.Line, "$", "object", "null"),
    ],
)
def test_misfit_names_path_and_both_sides(
    body: str, annotation: object, path: str, expected: str, found: str
) -> None:
    with pytest.raises(DeserializationError) as caught:
        decode(body, annotation)
    assert (caught.value.path, caught.value.expected, caught.value.found) == (path, expected, found)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "annotation", "path"),
    [
        ('{"name":"a","born":"canary-4711"}', shop.Customer, "$.born"),
        ('[{"name":"a","orders":[{"id":"canary-4711"}]}]', list[shop.Customer], None),
        ('{"animal":{"name":1},"customer":{"name":"a"}}', shop.Holder, "$.animal.name"),
        ('"canary-4711"', pydantic.HttpUrl, "$"),
    ],
)
def test_misfit_of_pydantic_names_the_path_and_never_the_data(
    body: str, annotation: object, path: str | None
) -> None:
    with pytest.raises(DeserializationError, match="pydantic") as caught:
        decode(body, annotation)
    if path is not None:
        assert caught.value.path == path
    assert CANARY not in repr(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ('{"guest":{"name":"a"},"notes":{}}', "$.others"),
        ('{"guest":{"name":1},"others":[],"notes":{}}', "$.guest.name"),
        (
            '{"guest":{"$":"NAME:Dog","fields":{"name":"d","tricks":[1]}},"others":[],"notes":{}}',
            "$.guest.tricks[0]",
        ),
        (
            '{"guest":{"name":"a"},"others":{"$":"list","items":[{"$":"NAME:Cat","of":{}}]}}',
            "$.others[0]",
        ),
        ('{"guest":{"$":"NAME:Dog"},"others":[],"notes":{}}', "$.guest"),
    ],
)
def test_misfit_below_a_tag_names_its_path(fields: str, path: str) -> None:
    name = f"{shop.__name__}:Kennel"
    body = f'{{"$":"{name}","fields":{fields.replace("NAME", shop.__name__)}}}'
    with pytest.raises(DeserializationError) as caught:
        decode(body, shop.Kennel, name)
    assert caught.value.path == path


def test_unknown_name_says_to_import_or_alias() -> None:
    with pytest.raises(DeserializationError, match="no known or loaded class") as caught:
        decode("{}", Any, "gone:Order")
    assert caught.value.expected == "gone:Order"


def test_alias_lets_a_renamed_class_be_read() -> None:
    serializer = Serializer()
    serializer.alias("old_shop:Beast", shop.Animal)
    assert serializer.decode(Payload("old_shop:Beast", '{"name":"a"}')) == shop.Animal("a")
    tagged = '{"$":"tuple","items":[{"$":"old_shop:Beast","of":{"name":"a"}}]}'
    assert serializer.decode(Payload("tuple", tagged)) == (shop.Animal("a"),)


def test_annotation_may_become_optional_or_a_union() -> None:
    payload = survives(shop.Dog("d"), shop.Dog)
    assert payload.type is None
    for annotation in (shop.Dog | None, shop.Line | shop.Dog, shop.Dog | shop.Animal):
        assert Serializer().decode(payload, annotation) == shop.Dog("d")


def test_union_prefers_the_member_that_would_write_the_same() -> None:
    payload = survives(shop.Dog("d"), shop.Dog)
    value = Serializer().decode(payload, shop.Animal | shop.Dog)
    assert type(value) is shop.Dog


def test_union_reads_older_data_of_a_member() -> None:
    value = decode('{"sku":"a","gone":1}', shop.Line | Newer)
    assert value == Newer("a")


def test_data_that_fits_no_member_of_a_union_is_a_misfit() -> None:
    with pytest.raises(DeserializationError, match="fits no part"):
        decode('{"x":1}', shop.Line | shop.Dog)


def test_annotation_may_appear_later() -> None:
    payload = survives(shop.Dog("d"))
    assert Serializer().decode(payload, shop.Dog) == shop.Dog("d")
    assert Serializer().decode(survives(5), int) == 5


def test_attrs_field_that_others_decide_must_have_been_stored() -> None:
    name = f"{shop.__name__}:Chained"
    with pytest.raises(DeserializationError, match="default") as caught:
        decode(f'{{"$":"{name}","fields":{{"first":1}}}}', shop.Chained, name)
    assert caught.value.path == "$.second"


def test_class_of_a_type_that_is_no_data_any_more_is_a_misfit() -> None:
    with pytest.raises(DeserializationError, match="fits no part"):
        decode("{}", shop.Unresolved)
    for annotation in (shop.NotData, Callable[[int], int], Iterator[int]):
        with pytest.raises(DeserializationError):
            decode("{}", annotation)


def test_field_may_widen() -> None:
    assert decode('{"amount":1,"currency":"EUR"}', shop.Money) == shop.Money(1.0)
