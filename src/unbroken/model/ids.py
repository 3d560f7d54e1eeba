"""What may be an id, a message key or a name. The same limits hold on every store."""

from __future__ import annotations

from unbroken.model.errors import InvalidId

MAX_LENGTH = 255
RESERVED_IN_NAMES = ".#/"


def check_id(text: object, what: str = "flow id") -> str:
    """Return the text, or raise InvalidId: 1-255 characters, no NUL, no lone surrogates."""
    if not isinstance(text, str):
        raise InvalidId(f"{what}: must be a str, not {type(text).__name__}")
    if not text:
        raise InvalidId(f"{what}: must not be empty")
    if len(text) > MAX_LENGTH:
        raise InvalidId(f"{what}: has {len(text)} characters, the limit is {MAX_LENGTH}")
    if "\0" in text:
        raise InvalidId(f"{what}: must not contain NUL")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidId(f"{what}: contains a lone surrogate, which no store can hold") from None
    return str(text)


def check_name(text: object, what: str = "name") -> str:
    """Return the text, or raise InvalidId: an id without `.`, `#` and `/`, which are ours."""
    name = check_id(text, what)
    for mark in RESERVED_IN_NAMES:
        if mark in name:
            raise InvalidId(f"{what} {name!r}: must not contain {mark!r}, which divides keys")
    return name


def as_name(id: str) -> str:
    """Write an id so that it may be a name: what divides keys is escaped, different ids differ."""
    for mark in "%" + RESERVED_IN_NAMES:
        id = id.replace(mark, f"%{ord(mark):02X}")
    return id
