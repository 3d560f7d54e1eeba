"""What goes in comes out: plain values, typed and untyped, at any depth."""

from __future__ import annotations

import pathlib
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal, NewType, Optional, Union
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unbroken.serialization.scalars import SCALARS as SCALARS_BY_TEXT
from unbroken.serialization.serializer import Payload, Serializer

from . import shop
from .proof import assert_same, survives

AN_ID = UUID("6f1c7a52-0d3e-4b7e-9a55-2f6f3c1d8e90")
SCALARS: list[object] = [
    "",
    "text",
    "nul \0 and \x1f",
    "astral 😀",
    "\u2028",
    "{",
    '{"$',
    0,
    -1,
    2**53 + 1,
    2**63,
    -(2**64),
    10**4000,
    True,
    False,
    None,
    0.0,
    -0.0,
    1.0,
    1e16,
    5e-324,
    1.7976931348623157e308,
    AN_ID,
    b"",
    b"\0\xff",
    bytearray(b"x"),
    Decimal("1.10"),
    Decimal("-0"),
    Decimal("1E+1000"),
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("-Infinity"),
    date.min,
    datetime.fromisoformat("9999-12-31T23:59:59.999999"),
    datetime.fromisoformat("2024-02-29T01:02:03.000004"),
    datetime.fromisoformat("2024-10-27T02:30").replace(fold=1),
    datetime(2024, 1, 1, tzinfo=UTC),
    datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=-5, minutes=30))),
    datetime(1850, 1, 1, tzinfo=timezone(timedelta(seconds=3208))),
    time(1, 2, 3, 4),
    time(1, tzinfo=UTC),
    timedelta.max,
    timedelta.min,
    timedelta(microseconds=-1),
    complex(1, -2),
    pathlib.Path("/tmp/x"),
    pathlib.PurePosixPath("a/b"),
    pathlib.PureWindowsPath("c:/a"),
    IPv4Address("127.0.0.1"),
    IPv6Address("::1"),
]


@pytest.mark.parametrize("value", SCALARS, ids=lambda v: f"{type(v).__name__}-{str(v)[:12]!r}")
def test_scalar_survives_typed_untyped_and_inside_containers(value: object) -> None:
    survives(value)
    survives(value, type(value))
    survives(value, object)
    survives([value, {"k": value}])
    survives((value,), tuple)
    survives([value], list[type(value)])
    survives({"k": value}, dict[str, Optional[type(value)]])  # noqa: UP045 - None has no `|`
    survives(shop.Anything(value), shop.Anything)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        ((1, "a"), tuple[int, str]),
        ((1, 2, 3), tuple[int, ...]),
        ({1, 2}, set[int]),
        (frozenset({AN_ID}), frozenset[UUID]),
        ({1: "a"}, dict[int, str]),
        ({AN_ID: [1]}, dict[UUID, list[int]]),
        ({date(2024, 1, 1): 1}, dict[date, int]),
        ("a", Literal["a", "b"]),
        (True, Literal[True]),
        (5, int | None),
        (None, int | None),
        (None, None),
        (1, int | float),
        (1.0, int | float),
        ("2024-01-01", str | date),
        (date(2024, 1, 1), str | date),
        (b"x", str | bytes),
        (AN_ID, Union[str, UUID]),  # noqa: UP007 - written so in older code
        ([1, "a", None], list[int | str | None]),
        (1, NewType("Amount", int)),
        ({"a": [{"b": (1, 2)}]}, dict[str, Any]),
    ],
    ids=str,
)
def test_annotated_value_survives(value: object, annotation: object) -> None:
    survives(value, annotation)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (1, float),
        (1, str),
        ("1", int),
        (1.0, int),
        (True, int),
        ((1, 2), list[int]),
        ([1, 2], tuple[int, int]),
        ({"1": 1}, dict[int, int]),
        ({1, 2}, list[int]),
        (None, int),
        (shop.Animal("a"), shop.Line),
    ],
    ids=str,
)
def test_value_that_belies_its_annotation_survives(value: object, annotation: object) -> None:
    payload = survives(value, annotation)
    assert payload.type is not None


@pytest.mark.parametrize(
    "value",
    [
        {"$": 1},
        {"$": "tuple", "of": [1]},
        {"$codec": "x", "data": ""},
        {"$x": {"$": "a"}},
        [{"$": "int", "of": 1}],
        {1: 1, "1": 2},
        {True: 1},
        {None: 1},
        {1.5: 1},
        {(1, (2,)): {3}},
        {"a": {"$": 1}},
        [[], {}, (), set(), frozenset()],
        {"b": 1, "a": 2},
    ],
    ids=str,
)
def test_untyped_container_survives(value: object) -> None:
    survives(value)
    survives(shop.Anything(value), shop.Anything)


def test_key_that_looks_like_a_tag_survives_under_an_annotation() -> None:
    survives({"$": "tuple", "of": "x"}, dict[str, str])
    survives(shop.Renamed(1), shop.Renamed)


def test_order_of_keys_is_kept() -> None:
    payload = survives({"b": 1, "a": 2})
    decoded: Any = Serializer().decode(payload)
    assert list(decoded) == ["b", "a"]


def test_common_values_need_no_type_name() -> None:
    for value in ("a", 1, None, 1.5, [1, {"a": [None]}]):
        assert survives(value).type is None


def test_typed_value_is_readable_json() -> None:
    payload = survives(shop.Line("a", 2, Decimal("1.50")), shop.Line)
    assert payload == Payload(None, '{"sku":"a","count":2,"price":"1.50"}')


def test_untyped_value_of_a_class_is_readable_json_beside_its_name() -> None:
    payload = survives(shop.Line("a", 2, Decimal("1.50")))
    name = f"{shop.__name__}:Line"
    assert payload == Payload(name, '{"sku":"a","count":2,"price":"1.50"}')


@pytest.mark.parametrize("value", [v for v in SCALARS if type(v) in SCALARS_BY_TEXT], ids=repr)
def test_text_of_every_scalar_leads_back_to_it(value: object) -> None:
    scalar = SCALARS_BY_TEXT[type(value)]
    assert_same(value, scalar.read(scalar.write(value)))


def test_zone_becomes_its_offset() -> None:
    berlin = datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    _, decoded = Serializer().round_trip(berlin, datetime)
    assert decoded == berlin
    assert decoded.utcoffset() == berlin.utcoffset()
    assert decoded.tzinfo == timezone(timedelta(hours=2))


def test_scalar_comes_back_as_the_same_object() -> None:
    for value in ("some text", 10**30, 1.5, uuid4()):
        _, decoded = Serializer().round_trip(value, type(value))
        assert decoded is value


def test_mutable_value_comes_back_as_an_object_of_its_own() -> None:
    inner = [1]
    value = {"a": inner}
    _, decoded = Serializer().round_trip(value)
    assert decoded == value
    assert decoded is not value
    assert decoded["a"] is not inner


def _containers(children: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    keys = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.uuids(), st.dates())
    hashable = st.one_of(st.text(), st.integers(), st.uuids(), st.decimals(allow_nan=False))
    return st.one_of(
        st.lists(children, max_size=4),
        st.lists(children, max_size=4).map(tuple),
        st.dictionaries(keys, children, max_size=4),
        st.dictionaries(st.sampled_from(["$", "$x", "a", "of", "items"]), children, max_size=3),
        st.sets(hashable, max_size=4),
        st.frozensets(hashable, max_size=4),
        children.map(shop.Anything),
        st.builds(shop.Cell, row=st.integers(), value=children),
        st.builds(shop.Segment, start=st.builds(shop.Point, st.integers()), tags=children),
    )


_PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(max_size=20),
    st.uuids(),
    st.decimals(),
    st.datetimes(timezones=st.none() | st.just(UTC) | st.timezones()),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.sampled_from([*shop.Colour, *shop.Mixed, shop.Access.READ | shop.Access.WRITE]),
)
VALUES = st.recursive(_PLAIN, _containers, max_leaves=20)


@settings(max_examples=400)
@given(VALUES)
def test_any_nested_value_survives_untyped(value: object) -> None:
    survives(value)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.text(), VALUES), max_size=3))
def test_any_nested_value_survives_below_typed_fields(pairs: list[tuple[str, object]]) -> None:
    notes = {key.encode(errors="ignore").decode(): value for key, value in pairs}
    survives(shop.Kennel(shop.Dog("rex"), [shop.Animal("a")], notes), shop.Kennel)
