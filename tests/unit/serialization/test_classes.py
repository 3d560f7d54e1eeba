"""Classes of every sort come back as the class they were, whatever the annotation says of them."""

from __future__ import annotations

import dataclasses
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Protocol
from uuid import UUID

import pydantic
import pytest

from unbroken.model.errors import NotSerializable, ValueChanged
from unbroken.serialization.serializer import Serializer

from . import shop
from .proof import survives

AN_ID = UUID("6f1c7a52-0d3e-4b7e-9a55-2f6f3c1d8e90")
LINE = shop.Line("a", 1, Decimal("1.10"))
ORDER = shop.Order(AN_ID, [LINE, LINE], datetime(2024, 1, 1, tzinfo=UTC), None, shop.Colour.BLUE)

LIE: Any = "of another type than the field"
MORE: Any = {"b": (1, 2)}

INSTANCES: list[object] = [
    LINE,
    ORDER,
    shop.Animal("a"),
    shop.Dog("d", ["sit"]),
    shop.Kennel(shop.Dog("d"), [shop.Animal("a"), shop.Dog("b")], {"x": (1, shop.Dog("n"))}),
    shop.Kennel(shop.Animal("a"), [], {}, {"rex": shop.Dog("rex")}),
    shop.Money(1.5, "USD"),
    shop.Money(1),
    shop.Total([1, 2]),
    shop.WithInitVar("a", loud=True),
    shop.Box(ORDER),
    shop.Box((1, 2)),
    shop.Tree(1, [shop.Tree(2, [shop.Tree(3)])]),
    shop.Anything(AN_ID),
    shop.Anything(shop.Anything(shop.Anything({1}))),
    shop.Point(1),
    shop.Segment(shop.Point(1, "z"), ("a", 1)),
    shop.Cell(1, ORDER),
    shop.Unresolved(1, [2]),
    shop.UnresolvedCell(1),
    shop.Chained(1),
    shop.Chained(1, 5),
    shop.Sparse(1),
    shop.Point(1, "z"),
    shop.Cell(1),
    shop.Pair(1, AN_ID),
    shop.Pair(1, LIE),
    shop.Colour.RED,
    shop.Mixed.PAIR,
    shop.Mixed.ALSO_NUMBER,
    shop.Access.READ | shop.Access.WRITE,
    shop.Access(0),
    shop.Level.LOW,
    shop.Customer(name="c"),
    shop.Customer(
        name="c", born=datetime.fromisoformat("2000-01-01"), orders=[ORDER], balance=Decimal("1.10")
    ),
    shop.Vip(name="v", level=3),
    shop.Loose(a=1, **MORE),
    shop.Renaming(outer=1),
    shop.Hiding(shown=1, hidden=2),
    shop.Holder(animal=shop.Dog("d"), customer=shop.Vip(name="v")),
    shop.Page[int](items=[1]),
    pydantic.HttpUrl("http://example.org/x"),
]


@pytest.mark.parametrize("value", INSTANCES, ids=lambda v: f"{v!r}"[:40])
def test_instance_survives_under_its_own_class_and_in_containers(value: object) -> None:
    cls = type(value)
    survives(value, cls)
    survives([value, value], list[cls])
    survives({"k": (value, None)}, dict[str, tuple[cls, None]])
    survives(value, cls | None)


@pytest.mark.parametrize(
    "value",
    [v for v in INSTANCES if not isinstance(v, (pydantic.HttpUrl, shop.Page))],
    ids=lambda v: f"{v!r}"[:40],
)
def test_instance_survives_untyped(value: object) -> None:
    survives(value)
    survives([value, {"k": {value.__class__.__name__: value}}])
    survives(value, shop.Line | shop.Dog | shop.Customer)
    survives([value], list[shop.Line | shop.Dog])
    survives(shop.Anything(value), shop.Anything)


def test_union_of_dataclasses_records_the_class() -> None:
    payload = survives(shop.Dog("d"), shop.Line | shop.Dog)
    assert payload.type == f"{shop.__name__}:Dog"
    assert payload.body == '{"name":"d","tricks":[]}'


def test_subclass_below_a_field_is_not_sliced() -> None:
    kennel = shop.Kennel(shop.Dog("d", ["sit"]), [shop.Dog("e")], {})
    _, decoded = Serializer().round_trip(kennel, shop.Kennel)
    assert type(decoded.guest) is shop.Dog
    assert decoded.guest.tricks == ["sit"]
    assert type(decoded.others[0]) is shop.Dog


def test_abstract_annotation_is_restored_by_the_class_of_the_value() -> None:
    class Named(Protocol):
        name: str

    survives(shop.Dog("d"), Named)


def test_annotation_that_cannot_be_hashed_works() -> None:
    survives(shop.Dog("d"), Annotated[shop.Animal, ["unhashable"]])


def test_integer_in_a_float_field_stays_an_integer() -> None:
    _, decoded = Serializer().round_trip(shop.Money(1), shop.Money)
    assert type(decoded.amount) is int


def test_field_left_out_of_comparison_is_kept() -> None:
    _, decoded = Serializer().round_trip(shop.Money(1.0, "USD"), shop.Money)
    assert decoded.currency == "USD"


def test_post_init_that_changes_each_time_does_not_change_what_was_stored() -> None:
    before = shop.Total([1, 2])
    _, decoded = Serializer().round_trip(before, shop.Total)
    assert (decoded.made, decoded.total) == (1, 3)


@pytest.mark.parametrize(
    "value", [shop.Sparse(1), shop.Point(1), shop.Hiding(shown=1), [shop.Sparse(1)]], ids=repr
)
def test_default_is_stored_so_that_a_later_default_cannot_replace_it(value: object) -> None:
    text = survives(value, type(value)).body
    assert '"y":5' in text or '"_hidden":"h"' in text or '"hidden":0' in text


def test_fields_that_a_model_was_not_given_stay_unset() -> None:
    _, decoded = Serializer().round_trip(shop.Customer(name="c"), shop.Customer)
    assert decoded.model_fields_set == {"name"}
    assert decoded.model_dump(exclude_unset=True) == {"name": "c"}


def test_private_attribute_of_a_model_is_kept() -> None:
    before = shop.Loose(a=1)
    before._seen = 5
    _, decoded = Serializer().round_trip(before, shop.Loose)
    assert decoded._seen == 5


def test_typed_pydantic_type_that_yields_plain_values_survives() -> None:
    survives(5, Annotated[int, pydantic.Field(gt=3)])


def test_secret_is_refused_because_pydantic_hides_it() -> None:
    with pytest.raises(NotSerializable) as caught:
        Serializer().round_trip(pydantic.SecretStr("canary"), pydantic.SecretStr)
    assert "canary" not in str(caught.value)


def test_class_made_in_a_function_survives_under_its_annotation() -> None:
    local = shop.local_class()
    serializer = Serializer()
    payload, decoded = serializer.round_trip(local(1), local)
    assert decoded == local(1)
    assert Serializer().decode(payload, local) == local(1)


def test_class_made_in_a_function_is_refused_without_annotation() -> None:
    local = shop.local_class()
    with pytest.raises(NotSerializable, match="annotate `-> Local`"):
        Serializer().round_trip(local(1))


def test_class_made_in_a_function_survives_untyped_once_it_is_known() -> None:
    local = shop.local_class()
    serializer = Serializer()
    serializer.know(dict[str, list[local] | None])
    _, decoded = serializer.round_trip([local(1)])
    assert decoded == [local(1)]


def test_know_finds_classes_in_fields_and_generics() -> None:
    local = shop.local_class()

    @dataclasses.dataclass
    class Outer:
        inner: Any

    Outer.__annotations__["inner"] = shop.Box[local]
    serializer = Serializer()
    serializer.know(Outer)
    serializer.round_trip(local(1))


def test_know_accepts_classes_with_annotations_that_cannot_be_resolved() -> None:
    Serializer().know(shop.Unresolved, list[shop.UnresolvedCell], "a string", None, 5)


def test_attribute_that_is_no_field_is_reported_lost() -> None:
    with pytest.raises(ValueChanged, match="no fields"):
        Serializer().round_trip(shop.Plain("p"), shop.Plain)


def test_classes_without_pydantic_loaded_are_judged_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "pydantic"]:
        monkeypatch.delitem(sys.modules, name)
    survives(LINE)
    with pytest.raises(NotSerializable):
        survives(shop.NotData())
    assert "pydantic" not in sys.modules
