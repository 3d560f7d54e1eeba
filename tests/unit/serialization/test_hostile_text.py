"""Whatever stands in the store, reading it ends in a value or in one named error, and soon."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unbroken.model.errors import DeserializationError
from unbroken.serialization.guard import depth_exceeds
from unbroken.serialization.serializer import Payload, Serializer

from . import shop

SHOP = shop.__name__
NAMES = [
    None,
    "list",
    "dict",
    "tuple",
    "set",
    "int",
    "ValueError",
    "OSError",
    "ExceptionGroup",
    "uuid:UUID",
    "datetime:datetime",
    "decimal:Decimal",
    "bytes",
    "complex",
    "pathlib:PosixPath",
    "pathlib:WindowsPath",
    "os:system",
    "builtins:eval",
    "eval",
    "object",
    "type",
    "",
    ":",
    "a:b:c",
    "\ud800",
    f"{SHOP}:Customer",
    f"{SHOP}:Colour",
    f"{SHOP}:Kennel",
    f"{SHOP}:Total",
    f"{SHOP}:WithInitVar",
    f"{SHOP}:Pair",
    f"{SHOP}:Cell",
    f"{SHOP}:NotData",
]
KEYS = st.sampled_from(
    ["$", "of", "fields", "items", "name", "text", "args", "state", "set", "private", "x", "a"]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(NAMES),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(KEYS, inner, max_size=4),
        st.builds(
            lambda name, key, contents: {"$": name, key: contents},
            st.sampled_from(NAMES),
            KEYS,
            inner,
        ),
    ),
    max_leaves=12,
)
ANNOTATIONS = [
    Any,
    int,
    str,
    shop.Order,
    shop.Kennel,
    shop.Customer,
    shop.Line | shop.Dog,
    dict[str, Any],
    list[shop.Anything],
]


def read_all_ways(text: str, type_name: str | None, annotation: object) -> None:
    serializer = Serializer()
    readers = [
        lambda: serializer.decode(Payload(type_name, text), annotation),
        lambda: serializer.decode(Payload("list", text), annotation),
        lambda: serializer.rebuild_exception(text),
        lambda: serializer.error_info(text),
    ]
    for read in readers:
        with contextlib.suppress(DeserializationError):
            read()


@settings(max_examples=600)
@given(TREES, st.sampled_from(NAMES), st.sampled_from(ANNOTATIONS))
def test_any_json_ends_in_a_value_or_a_named_error(
    tree: object, type_name: str | None, annotation: object
) -> None:
    read_all_ways(json.dumps(tree), type_name, annotation)


@settings(max_examples=300)
@given(
    st.one_of(st.text(), st.text('{}[]":,$\\u0019eE-.ntf ', max_size=40)),
    st.sampled_from(NAMES),
    st.sampled_from(ANNOTATIONS),
)
@example("\ud800", None, str)
@example('"\\ud800"', None, str)
@example('{"$":"\ud800"}', "tuple", Any)
@example('{"$codec":"x","data":"!"}', None, Any)
@example('{"$codec":1}', None, Any)
@example("", None, Any)
@example("NaN", None, float)
@example('{"a":NaN}', None, Any)
def test_any_text_ends_in_a_value_or_a_named_error(
    text: str, type_name: str | None, annotation: object
) -> None:
    read_all_ways(text, type_name, annotation)


SIZE = 65_536
BOMBS = {
    "open brackets": "[" * SIZE,
    "nested": "[" * (SIZE // 2) + "]" * (SIZE // 2),
    "nested objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "wide then deep": "[" * 101 + "]" * 101,
    "quotes": '"' * SIZE,
    "escaped quotes": "[" * 101 + '"' + '\\"' * (SIZE // 2),
    "backslashes": "[" * 101 + '"' + "\\" * SIZE,
    "digits": "1" * SIZE,
    "digits in an object": '{"a":' + "1" * SIZE + "}",
    "float digits": "0." + "1" * SIZE,
    "exponent": "1e999999999",
    "decimal exponent": '{"$":"decimal:Decimal","text":"1E+999999999999"}',
    "spaces": " " * SIZE,
    "brackets in a string": '"' + "[" * SIZE + '"',
    "many objects": "[" + ",".join(['{"a":1}'] * (SIZE // 8)) + "]",
    "many keys": "{" + ",".join(f'"k{i}":1' for i in range(SIZE // 10)) + "}",
    "tags": '{"$":"list","items":' * 49 + "[]" + "}" * 49,
    "wide tags": '{"$":"list","items":[' + ",".join(['{"$":"nobody","of":1}'] * 3000) + "]}",
    "unknown exceptions": '{"$":"list","items":['
    + ",".join(['{"$":"ValueError","args":[],"state":{}}'] * 1600)
    + "]}",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_bomb_is_defused_soon(bomb: str) -> None:
    started = time.perf_counter()
    read_all_ways(bomb, None, Any)
    read_all_ways(bomb, f"{SHOP}:Kennel", shop.Kennel)
    # Eight readings: 50 ms for one, with room for a busy machine.
    assert time.perf_counter() - started < 8 * 0.25


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a":1,"a":2}', "one key twice"),
        ('{"a":1,"\\u0061":2}', "one key twice"),
        ('[{"x":{"a":1,"b":2,"a":1}}]', "one key twice"),
        ("[" * 101 + "]" * 101, "deeper than 100"),
        ("1" * 4301, "4300 digits"),
        ('{"a":' + "1" * 4301 + "}", "4300 digits"),
        ('"\\ud800"', "no valid JSON"),
        ("[1", "no valid JSON"),
        ("1 2", "no valid JSON"),
    ],
)
def test_named_reason(text: str, words: str) -> None:
    with pytest.raises(DeserializationError, match=words):
        Serializer().decode(Payload(None, text))


def test_limits_themselves_are_readable() -> None:
    assert Serializer().decode(Payload(None, "1" * 4300)) == int("1" * 4300)
    assert Serializer().decode(Payload(None, "[" * 100 + "]" * 100)) is not None


@given(st.recursive(st.just(0) | st.text('[]{}"\\', max_size=5), lambda x: st.lists(x, max_size=3)))
def test_depth_is_counted_exactly(tree: object) -> None:
    def depth(value: object) -> int:
        if not isinstance(value, list):
            return 0
        return 1 + max(map(depth, value), default=0)

    text = json.dumps([tree, tree])
    levels = depth([tree])
    assert not depth_exceeds(text, levels)
    assert depth_exceeds(text, levels - 1)
