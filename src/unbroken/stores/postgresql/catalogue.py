"""The statements of this dialect: named parameters become positions, tables get their prefix."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import msgspec

from unbroken.model.errors import ConfigurationError
from unbroken.stores.sql import Migration, read_catalogue, read_migrations

PREFIX = "unbroken_"
NAME = re.compile(r"(?<!:):([a-z]\w*)")
MAY_BE_A_PREFIX = re.compile(r"[a-z_][a-z0-9_]{0,30}")


class Statement(msgspec.Struct, frozen=True):
    """A statement as the driver wants it, and the names of its parameters in their order."""

    text: str
    names: tuple[str, ...]


def check_prefix(prefix: str) -> str:
    """Return the prefix, or raise ConfigurationError: it stands in SQL as it is."""
    if not MAY_BE_A_PREFIX.fullmatch(prefix):
        raise ConfigurationError(
            "prefix: must begin with a lower-case letter or _ and go on with at most 30 lower-case "
            "letters, digits or _, like shop_"
        )
    return prefix


def statement(text: str) -> Statement:
    """Turn `:name` into `$1`, `$2`, … in the order in which the names come first."""
    names: list[str] = []

    def position(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return Statement(NAME.sub(position, text), tuple(names))


@cache
def read_texts(prefix: str) -> Mapping[str, str]:
    """Read the catalogue, with the tables of this prefix."""
    texts = read_catalogue(files("unbroken.stores.postgresql") / "sql")
    return {name: text.replace(PREFIX, prefix) for name, text in texts.items()}


@cache
def read_statements(prefix: str) -> Mapping[str, Statement]:
    """Read the catalogue as statements that can be run as they are."""
    return {name: statement(text) for name, text in read_texts(prefix).items()}


def migrations(prefix: str) -> tuple[Migration, ...]:
    """Read the migrations, with the tables of this prefix."""
    found = read_migrations(files("unbroken.stores.postgresql") / "migrations")
    return tuple(
        Migration(
            one.number, one.name, tuple(sql.replace(PREFIX, prefix) for sql in one.statements)
        )
        for one in found
    )
