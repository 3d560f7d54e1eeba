"""The one assertion of most tests here: a value survives writing, reading and another process."""

from __future__ import annotations

from typing import Any

import msgspec

from unbroken.serialization.comparison import Comparison
from unbroken.serialization.serializer import Payload, Serializer


def assert_same(before: object, after: object) -> None:
    difference = Comparison().difference(before, after)
    assert difference is None, f"{difference}: {before!r} became {after!r}"


def survives(value: object, annotation: object = Any) -> Payload:
    """Round trip, then read with a serializer that has never seen the value."""
    payload, decoded = Serializer().round_trip(value, annotation)
    assert_same(value, decoded)
    assert_same(value, Serializer().decode(payload, annotation))
    msgspec.json.decode(payload.body)  # what is stored is JSON
    return payload
