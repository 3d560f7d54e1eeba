"""The seam for compression and encryption: how a body is wrapped before it is stored."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Final, Protocol

import msgspec

from unbroken.model.errors import DeserializationError

_PREFIX: Final = '{"$codec"'


class Codec(Protocol):
    """Turns bodies into bytes that only it can read.

    Bodies written before there was a codec stay readable; bodies of another codec are refused.
    """

    @property
    def name(self) -> str:
        """What is stored beside each body, to know its codec (and key) again."""
        ...

    def encode(self, body: bytes, /) -> bytes:
        """Compress or encrypt a body."""
        ...

    def decode(self, data: bytes, limit: int, /) -> bytes:
        """Give back the body, and raise `ValueError` as soon as it outgrows `limit` bytes."""
        ...


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    codec: str = msgspec.field(name="$codec")
    data: str


class Wrapper:
    """Applies a codec, if there is one, to stored text."""

    def __init__(self, codec: Codec | None, limit: int) -> None:
        self._codec = codec
        self._limit = limit

    def wrap(self, body: bytes) -> str:
        """Give the text to store for a body."""
        if self._codec is None:
            return body.decode()
        data = b64encode(self._codec.encode(body)).decode()
        return msgspec.json.encode(_Envelope(self._codec.name, data)).decode()

    def unwrap(self, text: str) -> str:
        """Give the body of a stored text.

        Raises `DeserializationError` when the codec is missing, differs or fails.
        """
        if not text.startswith(_PREFIX):
            return text
        try:
            envelope = msgspec.json.decode(text, type=_Envelope)
        except (msgspec.DecodeError, UnicodeError):
            raise DeserializationError("the envelope of the codec is damaged") from None
        codec = self._codec
        if codec is None or codec.name != envelope.codec:
            raise DeserializationError(
                f"written through the codec {envelope.codec!r}: give the app that codec",
                expected=codec.name if codec else "no codec",
                found=envelope.codec,
            )
        try:
            body = codec.decode(b64decode(envelope.data, validate=True), self._limit)
            text = body.decode()
        except Exception as error:
            raise DeserializationError(
                f"the codec {codec.name!r} cannot read the stored data ({type(error).__name__})"
            ) from error
        if len(body) > self._limit:
            raise DeserializationError(f"the decoded body is larger than {self._limit} bytes")
        return text
