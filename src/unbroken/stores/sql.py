"""Reads `.sql` files: catalogues of named statements, and numbered migrations.

A catalogue is a file of statements, each under a line `-- name: method_name`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources.abc import Traversable

import msgspec

from unbroken.model.errors import SchemaTooNew

NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
MAKES_TABLE = re.compile(r"CREATE\s+TABLE\s+(\w+)")
COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)


class Migration(msgspec.Struct, frozen=True):
    """One numbered change of the schema, as the statements of its file."""

    number: int
    name: str
    statements: tuple[str, ...]


def read_catalogue(folder: Traversable) -> Mapping[str, str]:
    """Read every statement of a folder's files by its name; a name stands once in the folder."""
    statements: dict[str, str] = {}
    for file in _sql_files(folder):
        _, *parts = NAME.split(file.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in statements:
                raise ValueError(f"{file.name}: the name {name} stands twice")
            statements[name] = COMMENT.sub("", text).strip().removesuffix(";")
    return statements


def read_migrations(folder: Traversable) -> tuple[Migration, ...]:
    """Read a folder of `0001_what_it_does.sql` files in the order of their numbers."""
    migrations: list[Migration] = []
    for file in _sql_files(folder):
        number, _, name = file.name.removesuffix(".sql").partition("_")
        text = COMMENT.sub("", file.read_text(encoding="utf-8"))
        statements = tuple(part.strip() for part in text.split(";\n") if part.strip())
        migrations.append(Migration(int(number), name, statements))
    return tuple(migrations)


def pending(migrations: Sequence[Migration], version: int) -> Sequence[Migration]:
    """Say which migrations a schema of this version lacks; SchemaTooNew if it is newer."""
    newest = migrations[-1].number
    if version > newest:
        raise SchemaTooNew(
            f"the database has schema version {version}, this version of Unbroken knows {newest}: "
            "upgrade Unbroken in this process; it wrote nothing"
        )
    return [migration for migration in migrations if migration.number > version]


def as_sql(migrations: Sequence[Migration]) -> str:
    """Print migrations, for who reviews them or applies them by other means."""
    return "\n\n".join(
        f"-- {one.number:04} {one.name}\n" + ";\n\n".join(one.statements) + ";"
        for one in migrations
    )


def tables_made_by(migrations: Sequence[Migration]) -> list[str]:
    """Give the names of the tables that migrations make."""
    made = (MAKES_TABLE.match(one) for migration in migrations for one in migration.statements)
    return [match.group(1) for match in made if match]


def _sql_files(folder: Traversable) -> Iterator[Traversable]:
    files = (file for file in folder.iterdir() if file.name.endswith(".sql"))
    return iter(sorted(files, key=lambda file: file.name))
