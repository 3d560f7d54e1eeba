"""What a stored text must be before anything reads it: not too deep, no key twice, no giant int."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from unbroken.model.errors import DeserializationError

MAX_DEPTH: Final = 100
MAX_DIGITS: Final = 4300

# The closing quote is optional, or a text of opened strings would take quadratic time.
_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_BRACKETS: Final = re.compile(r"[^\[\]{}]+")
_CURLY_AS_SQUARE: Final = str.maketrans("{}", "[]")


def depth_exceeds(text: str, limit: int = MAX_DEPTH) -> bool:
    """Say whether JSON text is nested deeper than the limit; cheap for all ordinary text."""
    if text.count("[") + text.count("{") <= limit:
        return False
    brackets = _NOT_BRACKETS.sub("", _STRING.sub("", text)).translate(_CURLY_AS_SQUARE)
    for _ in range(limit):
        if not brackets:
            return False
        brackets = brackets.replace("[]", "")  # one level, from the inside
    return bool(brackets)


def check(text: str) -> None:
    """Refuse a text that could harm its reader or that two readers could take differently.

    Raises `DeserializationError`.
    """
    if depth_exceeds(text):
        raise DeserializationError(
            f"nested deeper than {MAX_DEPTH} levels", expected="JSON", found="too many levels"
        )
    if "{" not in text and len(text) <= MAX_DIGITS:
        return
    try:
        _SCANNER.decode(text)
    except json.JSONDecodeError:
        raise DeserializationError(
            "the stored data is no valid JSON", expected="JSON", found="other text"
        ) from None


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len(dict(pairs)) != len(pairs):
        raise DeserializationError(
            "an object has one key twice", expected="each key once", found="a key twice"
        )


def _refuse_long(digits: str) -> None:
    if len(digits) > MAX_DIGITS:
        raise DeserializationError(
            f"a number has more than {MAX_DIGITS} digits",
            expected=f"at most {MAX_DIGITS} digits",
            found=f"{len(digits)} digits",
        )


_SCANNER: Final = json.JSONDecoder(
    object_pairs_hook=_refuse_repeated, parse_int=_refuse_long, parse_float=_refuse_long
)
