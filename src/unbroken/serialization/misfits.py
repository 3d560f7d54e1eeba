"""Why stored data does not fit the code, as one error: path, what is expected, what was found.

The data itself is never shown: it may be secret.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from unbroken.model.errors import DeserializationError

_MESSAGE: Final = re.compile(r"(?s)(?P<text>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?\Z")
_EXPECTED: Final = re.compile(r"Expected `(?P<expected>[^`]+)`(?:, got `(?P<found>[^`]+)`)?")
_ABSENT: Final = re.compile(r"Object missing required field `(?P<field>[^`]+)`")
_INVALID: Final = re.compile(r"Invalid (?P<what>enum value|value|[A-Za-z0-9]+)")
_PYDANTIC: Final = re.compile(r"\|pydantic\|(?P<place>[^|]*)\|(?P<rule>.*)\Z")
_REPAIR: Final = (
    "deploy code that fits: give a new field a default, keep a removed member or type, "
    "or read the old form too"
)


def pydantic_text(place: str, rule: str) -> str:
    """Word a refusal by pydantic so that `misfit` can take it apart."""
    return f"|pydantic|{place}|{rule}"


def show(annotation: object) -> str:
    """Show an annotation as it is written in code."""
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)


def misfit(error: Exception, annotation: object, path: str) -> DeserializationError:
    """Turn whatever reading raised into the error that parks a flow."""
    if isinstance(error, DeserializationError):
        return error
    if isinstance(error, msgspec.ValidationError):
        return _from_validation(error, annotation, path)
    if isinstance(error, (msgspec.DecodeError, UnicodeError)):
        return DeserializationError(
            "the stored data is no valid JSON", path, expected="JSON", found="other text"
        )
    return DeserializationError(
        f"{show(annotation)} refuses the stored data with {type(error).__qualname__}: {_REPAIR}",
        path,
        expected=show(annotation),
        found=f"{type(error).__qualname__} while reading",
    )


def _from_validation(
    error: msgspec.ValidationError, annotation: object, path: str
) -> DeserializationError:
    parts = _MESSAGE.match(str(error))
    text = parts["text"] if parts else ""
    place = path + ((parts["path"] or "") if parts else "")
    of_key = "key: " if parts and parts["key"] else ""
    expected, found = show(annotation), "another form"
    if match := _PYDANTIC.match(text):
        place += match["place"]
        found = f"data refused by pydantic ({match['rule']})"
    elif match := _ABSENT.match(text):
        place += f".{match['field']}"
        expected, found = "a value", "nothing"
    elif match := _EXPECTED.match(text):
        expected, found = match["expected"], match["found"] or "data out of bounds"
    elif match := _INVALID.match(text):
        found = f"invalid {match['what']}"
    elif error.__cause__ is not None:
        found = f"{type(error.__cause__).__qualname__} while reading"
    return DeserializationError(
        f"{of_key}expected {expected}, found {found}: {_REPAIR}",
        place,
        expected=expected,
        found=found,
    )
