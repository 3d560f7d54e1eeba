"""A codec sees every body, and nothing it gives back is trusted beyond the limit."""

from __future__ import annotations

import inspect
import json
import zlib

import pytest

from unbroken.model.errors import DeserializationError, PayloadTooLarge
from unbroken.serialization.codec import Codec
from unbroken.serialization.serializer import Payload, Serializer


class Zlib:
    name = "zlib"

    def encode(self, body: bytes, /) -> bytes:
        return zlib.compress(body)

    def decode(self, data: bytes, limit: int, /) -> bytes:
        decoder = zlib.decompressobj()
        body = decoder.decompress(data, limit)
        if decoder.unconsumed_tail:
            raise ValueError("too large")
        return body


class Careless(Zlib):
    """Forgets the limit."""

    def decode(self, data: bytes, limit: int, /) -> bytes:
        return zlib.decompress(data)


def flow(order: str) -> None: ...


def test_bodies_arguments_and_exceptions_pass_through_the_codec() -> None:
    codec: Codec = Zlib()
    serializer = Serializer(codec=codec)
    payload, value = serializer.round_trip({"a": ("canary", 1)})
    assert value == {"a": ("canary", 1)}
    assert serializer.decode(payload) == value
    signature = inspect.signature(flow)
    arguments = serializer.encode_arguments(signature, ("canary",), {}, {"order": str})
    assert serializer.decode_arguments(signature, arguments, {"order": str}).args == ("canary",)
    error = serializer.encode_exception(ValueError("canary"))
    assert serializer.rebuild_exception(error).args == ("canary",)
    assert serializer.error_info(error).message == "canary"
    for text in (payload.body, arguments, error):
        assert json.loads(text)["$codec"] == "zlib"
        assert "canary" not in text


def test_bodies_from_before_the_codec_are_still_read() -> None:
    payload = Serializer().encode(["a"])
    assert Serializer(codec=Zlib()).decode(payload) == ["a"]


def test_body_of_another_codec_is_refused_by_name() -> None:
    payload = Serializer(codec=Zlib()).encode("a", str)
    with pytest.raises(DeserializationError, match="'zlib'"):
        Serializer().decode(payload, str)


def test_value_that_looks_like_an_envelope_is_kept() -> None:
    value = {"$codec": "zlib", "data": "x"}
    for serializer in (Serializer(), Serializer(codec=Zlib())):
        payload, decoded = serializer.round_trip(value, dict[str, str])
        assert serializer.decode(payload, dict[str, str]) == decoded == value


@pytest.mark.parametrize("codec", [Zlib(), Careless()])
def test_body_that_outgrows_the_limit_is_refused(codec: Codec) -> None:
    writer = Serializer(codec=codec, limit=1_000_000)
    payload = writer.encode("x" * 900_000, str)
    assert len(payload.body) < 10_000
    with pytest.raises(DeserializationError):
        Serializer(codec=codec, limit=1000).decode(payload, str)


def test_limit_counts_the_body_before_the_codec() -> None:
    with pytest.raises(PayloadTooLarge):
        Serializer(codec=Zlib(), limit=100).encode("x" * 200, str)


@pytest.mark.parametrize("data", ["", "!", "AAAA", 5, None])
def test_damaged_envelope_is_a_named_error(data: object) -> None:
    text = json.dumps({"$codec": "zlib", "data": data}, separators=(",", ":"))
    with pytest.raises(DeserializationError):
        Serializer(codec=Zlib()).decode(Payload(None, text))
    with pytest.raises(DeserializationError):
        Serializer(codec=Zlib()).decode(Payload(None, text[:-1]))


def test_decoded_body_is_checked_like_any_other() -> None:
    codec = Zlib()
    serializer = Serializer(codec=codec)
    bomb = serializer._wrapper.wrap(b"[" * 50_000)
    with pytest.raises(DeserializationError, match="deeper"):
        serializer.decode(Payload(None, bomb))
