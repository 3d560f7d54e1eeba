"""A transaction of several statements: for what is rare, or has to look before it writes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar
from zlib import crc32

from unbroken.model.errors import StoreUnavailable
from unbroken.stores.postgresql.catalogue import Statement
from unbroken.stores.postgresql.driver import Connection
from unbroken.stores.postgresql.faults import Complaint, ends_connection, explain
from unbroken.stores.transactions.transaction import Row

T = TypeVar("T")
Work = Callable[["PostgresTransaction"], Awaitable[T]]

TURNSTILES = 64


class PostgresTransaction:
    """Statements of the catalogue in one open transaction, and the time it runs at."""

    __slots__ = ("_connection", "_statements", "now")

    def __init__(
        self, connection: Connection, statements: Mapping[str, Statement], now: int
    ) -> None:
        self._connection = connection
        self._statements = statements
        self.now = now

    async def all(self, name: str, /, **values: object) -> list[Row]:
        """Run a statement and read every row."""
        statement = self._statements[name]
        rows = await self._connection.fetch(
            statement.text, *[values[parameter] for parameter in statement.names]
        )
        return [tuple(row) for row in rows]

    async def first(self, name: str, /, **values: object) -> Row | None:
        """Run a statement and read its only row, if there is one."""
        rows = await self.all(name, **values)
        return rows[0] if rows else None

    async def change(self, name: str, /, **values: object) -> int:
        """Run a statement and count the rows it changed."""
        statement = self._statements[name]
        return await self._change(statement, [values[parameter] for parameter in statement.names])

    async def insert(self, name: str, /, **values: object) -> int | None:
        """Run an insert and give the number of its row; None if the row was there."""
        row = await self.first(name, **values)
        return row[0] if row else None

    async def change_many(
        self, name: str, /, rows: Sequence[Mapping[str, object] | Sequence[object]]
    ) -> int:
        """Run a statement over arrays, one for each column, and count the rows it changed."""
        statement = self._statements[name]
        columns: list[list[Any]] = []
        if statement.names:
            named: Any = rows
            columns = [[row[column] for row in named] for column in statement.names]
        else:
            columns = [list(column) for column in zip(*rows, strict=True)]
        return await self._change(statement, columns)

    async def _change(self, statement: Statement, values: Sequence[object]) -> int:
        status = await self._connection.execute(statement.text, *values)
        return int(status.rpartition(" ")[2])

    def text(self, name: str, /) -> str:
        """Give the text of a statement."""
        return self._statements[name].text

    async def define(self, sql: str, /) -> None:
        """Run a statement of a migration."""
        await self._connection.execute(sql)

    def array(self, values: Iterable[object]) -> object:
        """Give a list as it is: the driver sends it as an array."""
        return list(values)

    def tells_damage(self, error: Exception) -> bool:  # noqa: ARG002 - others look at it
        """Say no: an error ends the transaction, so that nothing can be read around it."""
        return False

    async def lock(self, flows: Sequence[int], names: Sequence[tuple[str, str]]) -> None:
        """Let nobody else change these flows until the end."""
        types, ids = [type_ for type_, _ in names], [id_ for _, id_ in names]
        await self.all("lock_flows", flows=list(flows), types=types, ids=ids)

    async def lock_queues(self, queues: Iterable[str]) -> None:
        """Let nobody else change these queues until the end."""
        numbers = sorted({crc32(queue.encode()) % TURNSTILES for queue in queues})
        await self.all("lock_queues", numbers=numbers)


async def in_transaction(
    connection: Connection,
    work: Work[T],
    statements: Mapping[str, Statement],
    *,
    now: int | None,
    begin: str = "BEGIN",
) -> T:
    """Run work in a transaction; whatever it raises undoes all of it.

    If the connection ends before COMMIT was sent, nothing was applied: StoreUnavailable.
    """
    try:
        await connection.execute(begin)
        at: int = await connection.fetchval(statements["time"].text) if now is None else now
        result = await work(PostgresTransaction(connection, statements, at))
    except BaseException as error:
        await _undo(connection)
        if isinstance(error, Complaint) and ends_connection(error):
            raise explain(error) from error
        raise
    if await connection.execute("COMMIT") != "COMMIT":
        raise StoreUnavailable("the server rolled the transaction back at its COMMIT")
    return result


async def _undo(connection: Connection) -> None:
    if connection.is_closed():
        return
    try:
        await connection.execute("ROLLBACK")
    except Complaint:
        connection.terminate()
