"""Values under an annotation: native if that restores them, else tagged; proven by reading."""

from __future__ import annotations

import msgspec

from unbroken.model.errors import DeserializationError, NotSerializable, SerializationError

from .comparison import Comparison
from .known import type_name
from .native import Kept, Native
from .refusals import changed
from .tag_reader import TagReader
from .tag_writer import TagWriter


class Positions:
    """Writes and reads values under annotations."""

    def __init__(
        self, native: Native, writer: TagWriter, reader: TagReader, comparison: Comparison
    ) -> None:
        self._native = native
        self._writer = writer
        self._reader = reader
        self._comparison = comparison

    def write(self, value: object, annotation: object, path: str) -> msgspec.Raw:
        """Write a value.

        Raises `NotSerializable` or `ValueChanged`.
        """
        kept = self._native.attempt(value, self._native.plan(annotation))
        if not isinstance(kept, Kept):
            kept = self.tagged(value, path, annotation)
        return msgspec.Raw(kept.body)

    def tagged(self, value: object, path: str, tried: object) -> Kept:
        """Write a value with the name of its type, and read it back.

        Raises `NotSerializable` or `ValueChanged`.
        """
        try:
            body = self._writer.write(value, path, tried=tried)
            decoded = self._reader.read(body, path)
            found = self._comparison.difference(value, decoded)
        except SerializationError:
            raise
        except DeserializationError as error:
            raise NotSerializable(f"cannot be read back: {error.message}", error.path) from error
        except Exception as error:
            raised = f"{type_name(type(value))} raises {type(error).__name__} when it is looked at"
            raise NotSerializable(raised, path) from error
        if found:
            raise changed(found, path)
        return Kept(body, decoded)

    def read(self, body: msgspec.Raw, annotation: object, path: str) -> object:
        """Read what `write` wrote.

        Raises `DeserializationError`.
        """
        return self._reader.read_position(body, annotation, path)
