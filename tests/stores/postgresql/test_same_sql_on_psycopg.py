"""The store's statements run as they are on the driver that users hold in their own transactions.

psycopg tells the server of each value what Python knows of it, and of a text nothing: so a
statement must say itself what each parameter is.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from itertools import chain, combinations
from typing import Any

import psycopg
import pytest

from tests.services import Database
from tests.stores.clock import FakeClock
from tests.stores.postgresql.on_both_drivers import OnPsycopg, life_of_flows
from unbroken.stores import open_store
from unbroken.stores.postgresql.address import PostgreSQL
from unbroken.stores.postgresql.catalogue import PREFIX, Statement, read_statements, read_texts
from unbroken.stores.postgresql.claiming import compose_claim
from unbroken.stores.postgresql.connecting import Connector
from unbroken.stores.postgresql.one_statement import compose

PARAMETER = re.compile(r"\$(\d+)")
TYPED = re.compile(r"\$(\d+)::(\w+)(\[\])?")
# Parts of a batch, which are statements only together.
PART = re.compile(r"^(with|answer|whole)_")
WHOLE = [name for name in read_texts(PREFIX) if not PART.match(name)]
CONTENTS = ("starts", "records", "consumed", "cleared", "states", "changes", "messages")
NEEDS = {"consumed": "records", "cleared": "records", "messages": "changes"}
ANSWERS = {"starts", "records", "changes", "messages"}
SHAPES = [
    shape
    for shape in chain.from_iterable(combinations(CONTENTS, size) for size in range(8))
    if all(NEEDS[one] in shape for one in shape if one in NEEDS)
]

Value = Callable[[str, str | None], object]
# A text that is JSON too: one of the parameters has to be.
ORDINARY = {"text": '[[7, "key"]]', "bigint": 7, "integer": 3, "boolean": True}
LARGE = {**ORDINARY, "bigint": 2**40, "integer": 2**30, "boolean": False}
# What a server says to values that it has understood: a null where none may be, a row twice.
REFUSED = (psycopg.IntegrityError, psycopg.errors.InvalidParameterValue)


def ordinary(type_: str, array: str | None) -> object:
    return [ORDINARY[type_], LARGE[type_]] if array else ORDINARY[type_]


def large(type_: str, array: str | None) -> object:
    return [LARGE[type_]] * 300 if array else LARGE[type_]


def nothing(_: str, array: str | None) -> object:
    return [None, None] if array else None


def empty(type_: str, array: str | None) -> object:
    return [] if array else ORDINARY[type_]


def half(type_: str, array: str | None) -> object:
    return [None, ORDINARY[type_]] if array else ORDINARY[type_]


VALUES = [ordinary, large, nothing, empty, half]


def values_for(statement: Statement, value: Value) -> list[object]:
    """Give a value for each parameter, by the type that the statement says it has."""
    types = {int(number): (type_, array) for number, type_, array in TYPED.findall(statement.text)}
    asked = {int(number) for number in PARAMETER.findall(statement.text)}
    assert asked == set(types) == set(range(1, len(types) + 1)), statement.text
    return [value(*types[number]) for number in sorted(types)]


@pytest.fixture
async def psycopg_connection(
    postgresql: Database, postgresql_url: str
) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Give a transaction on the migrated schema, undone at the end whatever ran in it."""
    if not postgresql.tables():
        store = open_store(postgresql_url, clock=FakeClock())
        await store.open()
        await store.close()
    connection = await psycopg.AsyncConnection.connect(postgresql_url)
    yield connection
    await connection.rollback()
    await connection.close()


async def ran(
    connection: psycopg.AsyncConnection[Any], statement: Statement, value: Value
) -> list[tuple[Any, ...]]:
    """Run a statement as it is and as a prepared one; what it did is undone."""
    values = values_for(statement, value)
    rows: list[tuple[Any, ...]] = []
    for is_prepared in (False, True):
        with suppress(*REFUSED):
            async with connection.transaction(force_rollback=True):
                cursor = psycopg.AsyncRawCursor(connection)
                await cursor.execute(statement.text.encode(), values or None, prepare=is_prepared)
                rows = await cursor.fetchall() if cursor.description else []
    return rows


@pytest.mark.parametrize("name", WHOLE)
async def test_a_statement_of_the_catalogue(
    psycopg_connection: psycopg.AsyncConnection[Any], name: str
) -> None:
    for value in VALUES:
        await ran(psycopg_connection, read_statements(PREFIX)[name], value)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "+".join(shape) or "fence")
async def test_a_batch_of_each_shape(
    psycopg_connection: psycopg.AsyncConnection[Any], shape: tuple[str, ...]
) -> None:
    answers = [one for one in shape if one in ANSWERS]
    if {"consumed", "cleared"} & set(shape):
        answers.append("all_records")
    for parts in (("fence", *shape), ("fence", "beat", *shape)):
        for value in VALUES:
            statement = compose(PREFIX, parts, tuple(answers))
            assert await ran(psycopg_connection, statement, value) == [], "nobody is registered"


@pytest.mark.parametrize("beats", [False, True])
async def test_a_claim(psycopg_connection: psycopg.AsyncConnection[Any], *, beats: bool) -> None:
    for value in VALUES:
        statement = compose_claim(PREFIX, beats=beats)
        assert await ran(psycopg_connection, statement, value) == []


async def test_what_it_does_and_answers_is_the_same_as_on_the_other_driver(
    psycopg_connection: psycopg.AsyncConnection[Any], postgresql: Database
) -> None:
    on_psycopg = await life_of_flows(OnPsycopg(psycopg_connection))
    await psycopg_connection.rollback()
    postgresql.clear()  # numbers begin again
    other = await Connector(PostgreSQL(url=postgresql.url)).connect()
    try:
        await other.execute("BEGIN")
        assert await life_of_flows(other) == on_psycopg
    finally:
        await other.close()


async def test_a_type_that_is_not_said_is_noticed(
    psycopg_connection: psycopg.AsyncConnection[Any],
) -> None:
    unsaid = Statement("SELECT min(number) + $1 FROM unbroken_flows", ("more",))
    with pytest.raises(AssertionError):
        await ran(psycopg_connection, unsaid, ordinary)
    cursor = psycopg.AsyncRawCursor(psycopg_connection)
    with pytest.raises(psycopg.errors.UndefinedFunction):
        await cursor.execute(unsaid.text.encode(), [True])
