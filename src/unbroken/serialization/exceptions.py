"""Exceptions that a flow will see: recorded once, the same class and text live and on every replay.

Whether an exception can be rebuilt is decided when it is recorded, by doing it from the recorded
text. If class or text would differ, the flow sees `EffectFailed` from the first time on. Causes and
contexts are kept as part of the traceback's text alone.
"""

from __future__ import annotations

import contextlib
import traceback
from typing import Final, cast

import msgspec

from unbroken.model.errors import DeserializationError, EffectFailed, ErrorInfo, SerializationError

from .guard import depth_exceeds
from .known import type_name
from .misfits import misfit
from .raised import take_apart
from .tag_reader import TagReader
from .tag_writer import RESERVED, TagWriter

_MESSAGE_LIMIT: Final = 16_384
_TRACEBACK_LIMIT: Final = 16_384
_FRAMES: Final = 50


class Recorded(msgspec.Struct, frozen=True, omit_defaults=True):
    """The stored form of an exception; `error` is there only if it can be rebuilt."""

    type: str = "unknown"
    message: str = ""
    error: msgspec.Raw = msgspec.Raw()
    traceback: str = ""


class Exceptions:
    """Records exceptions and rebuilds them."""

    def __init__(self, writer: TagWriter, reader: TagReader, limit: int) -> None:
        self._writer = writer
        self._reader = reader
        self._limit = limit
        self._decoder = msgspec.json.Decoder(Recorded)
        self._encode = msgspec.json.Encoder().encode

    def record(self, error: BaseException) -> bytes:
        """Give the stored form.

        Raises `TypeError` for what is no failure: cancellation, exits and other signals.
        """
        if not isinstance(error, Exception):
            raise TypeError(f"{type(error).__name__} is no failure of an effect: not recorded")
        plain = Recorded(
            type_name(type(error)),
            _clip(_text(error), _MESSAGE_LIMIT),
            traceback=_clip(_traceback(error), _TRACEBACK_LIMIT),
        )
        form = self._rebuildable(error)
        if form is not None:
            body = self._encode(msgspec.structs.replace(plain, error=msgspec.Raw(form)))
            if len(body) <= self._limit and not depth_exceeds(body.decode()):
                return body
        return self._encode(plain)

    def rebuild(self, text: str) -> Exception:
        """Give the exception of a stored form, or `EffectFailed` where it was recorded so."""
        recorded = self._decode(text)
        form = bytes(recorded.error)
        if form:
            with contextlib.suppress(DeserializationError):
                error = self._reader.read(form)
                if isinstance(error, Exception):
                    return error
        return EffectFailed(recorded.type, recorded.message)

    def info(self, text: str) -> ErrorInfo:
        """Give what is known of the exception as text."""
        recorded = self._decode(text)
        return ErrorInfo(recorded.type, recorded.message, recorded.traceback)

    def _decode(self, text: str) -> Recorded:
        try:
            return self._decoder.decode(text)
        except Exception as error:  # noqa: BLE001 - the text may be anything
            raise misfit(error, Recorded, "$") from None

    def _rebuildable(self, error: Exception) -> bytes | None:
        """Give a form that leads back to the same class and text, if there is one."""
        # Whatever a user's class raises when it is looked at: the error itself matters more.
        with contextlib.suppress(Exception):
            args, state = take_apart(error)
            kept = self._keep_state(state)
            for candidate in (args, ()):
                with contextlib.suppress(SerializationError, DeserializationError):
                    form = self._form(error, candidate, kept)
                    if _is_alike(self._reader.read(form), error):
                        return form
        return None

    def _form(
        self, error: Exception, args: tuple[object, ...], state: dict[str, msgspec.Raw]
    ) -> bytes:
        return self._encode(
            {
                RESERVED: type_name(type(error)),
                "args": [self._writer.write_bare(arg, "$.args") for arg in args],
                "state": state,
            }
        )

    def _keep_state(self, state: dict[str, object]) -> dict[str, msgspec.Raw]:
        kept: dict[str, msgspec.Raw] = {}
        for name, value in state.items():
            # An attribute that cannot be kept is lost at once, not only on replay.
            with contextlib.suppress(Exception):
                kept[name] = msgspec.Raw(self._encode(self._writer.write_bare(value, "$")))
        return kept


def _is_alike(rebuilt: object, error: Exception) -> bool:
    if type(rebuilt) is not type(error):
        return False
    try:
        repr(rebuilt)
        if str(rebuilt) != str(error):
            return False
    except Exception:  # noqa: BLE001 - a text that needs lost attributes
        return False
    parts, others = _parts(rebuilt), _parts(error)
    return len(parts) == len(others) and all(map(_is_alike, parts, others))


def _parts(error: object) -> tuple[Exception, ...]:
    """Give the exceptions of a group."""
    if not isinstance(error, ExceptionGroup):
        return ()
    return cast("ExceptionGroup[Exception]", error).exceptions


def _text(error: Exception) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a user's __str__
        text = "<the text of this error cannot be shown>"
    return text.encode(errors="backslashreplace").decode()


def _traceback(error: Exception) -> str:
    try:
        shown = traceback.TracebackException.from_exception(error, limit=-_FRAMES)
        lines = "".join(shown.format())
    except Exception:  # noqa: BLE001 - a user's __str__, __notes__ or source file
        lines = ""
    return lines.encode(errors="backslashreplace").decode()


def _clip(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"
