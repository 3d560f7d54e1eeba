"""Every statement finds its rows by an index, so that history costs nothing."""

import re
from collections.abc import AsyncIterator
from itertools import chain, combinations

import pytest

from tests.stores.clock import FakeClock
from unbroken.stores import open_store
from unbroken.stores.postgresql.address import PostgreSQL
from unbroken.stores.postgresql.catalogue import PREFIX, Statement, read_statements, read_texts
from unbroken.stores.postgresql.claiming import compose_claim
from unbroken.stores.postgresql.connecting import Connector
from unbroken.stores.postgresql.driver import Connection
from unbroken.stores.postgresql.one_statement import compose

WALKED = re.compile(r"Seq Scan on (\w+)")
# One row a process, or few: these are walked on purpose.
SMALL = {"unbroken_replicas", "unbroken_turnstiles", "unbroken_schema_version"}
# Asked by a person or at the start, and they walk no more than one index.
PARTS = re.compile(r"^(with|answer|whole)_")
SCHEMA = {"make_schema_version", "settings", "tables_of_others", "connections"}
PLAIN = [
    name
    for name in read_texts(PREFIX)
    if not PARTS.match(name) and name not in SCHEMA and "unbroken_" in read_texts(PREFIX)[name]
]
CONTENTS = ("starts", "records", "states", "changes")
SHAPES = list(chain.from_iterable(combinations(CONTENTS, size) for size in range(5)))


@pytest.fixture
async def connection(postgresql_url: str) -> AsyncIterator[Connection]:
    store = open_store(postgresql_url, clock=FakeClock())
    await store.open()
    await store.close()
    opened = await Connector(PostgreSQL(url=postgresql_url)).connect()
    yield opened
    await opened.close()


async def plan_of(connection: Connection, statement: Statement) -> str:
    """Give the plan that serves whatever values come."""
    await connection.execute(f"PREPARE looked_at AS {statement.text}")
    count = max((int(number) for number in re.findall(r"\$(\d+)", statement.text)), default=0)
    values = f"({', '.join(['NULL'] * count)})" if count else ""
    rows = await connection.fetch(f"EXPLAIN EXECUTE looked_at{values}")
    await connection.execute("DEALLOCATE looked_at")
    return "\n".join(row[0] for row in rows)


def walked(plan: str) -> set[str]:
    return set(WALKED.findall(plan)) - SMALL


@pytest.mark.parametrize("name", PLAIN)
async def test_a_statement_goes_by_an_index(connection: Connection, name: str) -> None:
    plan = await plan_of(connection, read_statements(PREFIX)[name])
    assert walked(plan) == set(), plan


@pytest.mark.parametrize("shape", SHAPES, ids="+".join)
async def test_a_batch_goes_by_indexes(connection: Connection, shape: tuple[str, ...]) -> None:
    parts = ["fence", "beat", *shape]
    answers = [one for one in shape if one != "states"]
    if "records" in shape:
        parts += ["consumed", "cleared"]
        answers.append("all_records")
    if "changes" in shape:
        parts.append("messages")
        answers.append("messages")
    plan = await plan_of(connection, compose(PREFIX, tuple(parts), tuple(answers)))
    assert walked(plan) == set(), plan


async def test_a_claim_goes_by_indexes(connection: Connection) -> None:
    plan = await plan_of(connection, compose_claim(PREFIX, beats=True))
    assert walked(plan) == set(), plan
    assert "unbroken_flows_due" in plan
    assert "unbroken_flows_owner" in plan


async def test_what_has_no_index_is_seen(connection: Connection) -> None:
    statement = Statement("SELECT number FROM unbroken_flows WHERE param = $1::text", ("param",))
    assert walked(await plan_of(connection, statement)) == {"unbroken_flows"}
