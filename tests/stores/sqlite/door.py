"""Plants trouble in a SQLite database, through the store's own writing connection."""

import sqlite3

from unbroken.model.records import FlowRef
from unbroken.stores.sqlite.store import SqliteStore


class SqliteDoor:
    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    @property
    def connection(self) -> sqlite3.Connection:
        return self._store._writer.open()

    def _change(self, statement: str, *values: object) -> None:
        assert self.connection.execute(statement, values).rowcount == 1

    def ask_cancel(self, flow: FlowRef) -> None:
        self._change(
            "UPDATE flows SET cancel = 1, inbox = inbox + 1, version = version + 1,"
            " due_at = CASE WHEN owner IS NULL THEN 0 END WHERE number = ? AND status = 'live'",
            flow.number,
        )

    def delete_replica(self, replica: str) -> None:
        self._change("DELETE FROM replicas WHERE id = ?", replica)

    def damage_parents(self, flow: FlowRef) -> None:
        self._change("UPDATE flows SET parents = '[[oops' WHERE number = ?", flow.number)

    def damage_text(self, flow: FlowRef, column: str) -> None:
        table, _, name = column.partition(".")
        key = "number" if table == "flows" else "flow"
        # Not UTF-8: an 0xFF and the word "secret", which no error may show.
        garbage = "CAST(x'ff736563726574' AS TEXT)"
        self._change(f"UPDATE {table} SET {name} = {garbage} WHERE {key} = ?", flow.number)

    def count(self, table: str, flow: FlowRef) -> int:
        statement = f"SELECT count(*) FROM {table} WHERE flow = ?"
        return self.connection.execute(statement, (flow.number,)).fetchone()[0]

    def parents(self, flow: FlowRef) -> str:
        statement = "SELECT parents FROM flows WHERE number = ?"
        return self.connection.execute(statement, (flow.number,)).fetchone()[0]
