"""Plants trouble in a PostgreSQL database, through a connection of its own."""

from typing import Any

from tests.services import Database
from unbroken.model.records import FlowRef


class PostgresDoor:
    def __init__(self, database: Database) -> None:
        self._database = database

    def _change(self, statement: str, *values: object) -> None:
        assert self._database.run(statement + " RETURNING 1", *values) == [(1,)]

    def ask_cancel(self, flow: FlowRef) -> None:
        self._change(
            "UPDATE unbroken_flows SET cancel = true, inbox = inbox + 1, version = version + 1,"
            " due_at = CASE WHEN owner IS NULL THEN 0 END WHERE number = %s AND status = 'live'",
            flow.number,
        )

    def delete_replica(self, replica: str) -> None:
        self._change("DELETE FROM unbroken_fences WHERE replica = %s", replica)
        self._change("DELETE FROM unbroken_replicas WHERE id = %s", replica)

    def damage_parents(self, flow: FlowRef) -> None:
        self._change("UPDATE unbroken_flows SET parents = '[[oops' WHERE number = %s", flow.number)

    def damage_text(self, flow: FlowRef, column: str) -> None:
        raise AssertionError(f"PostgreSQL holds only UTF-8: {column} of {flow} is whole")

    def count(self, table: str, flow: FlowRef) -> int:
        statement = f"SELECT count(*) FROM unbroken_{table} WHERE flow = %s"
        return self._one(statement, flow.number)

    def parents(self, flow: FlowRef) -> str:
        return self._one("SELECT parents FROM unbroken_flows WHERE number = %s", flow.number)

    def _one(self, statement: str, *values: object) -> Any:
        return self._database.run(statement, *values)[0][0]
