"""The connections of one process, and transactions on them: at once, in turn, in a snapshot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from unbroken.model.clock import Clock, SystemClock
from unbroken.model.errors import OutcomeUnknown, StoreUnavailable
from unbroken.stores.postgresql.address import PostgreSQL
from unbroken.stores.postgresql.catalogue import read_statements
from unbroken.stores.postgresql.connecting import Connector
from unbroken.stores.postgresql.driver import Connection
from unbroken.stores.postgresql.link import Link, Links
from unbroken.stores.postgresql.transaction import PostgresTransaction, Work, in_transaction

T = TypeVar("T")

READERS = 3


class Sessions:
    """One connection for batches, a few others for reads and for what is rare."""

    def __init__(self, address: PostgreSQL, clock: Clock) -> None:
        self.connector = Connector(address)
        self.statements = read_statements(address.prefix)
        self._address = address
        self._clock = clock
        # Who brings another clock than the system's wants it to be the store's too.
        self.is_real = isinstance(clock, SystemClock)
        self._writer = self.link()
        self._others = self._links()

    def link(self) -> Link:
        """Give a connection that is opened when it is needed."""
        return Link(self.connector.connect, self._address.patience)

    def _links(self) -> Links:
        return Links([self.link() for _ in range(READERS)])

    def renew(self) -> None:
        """Begin with connections that nobody has closed."""
        self._writer, self._others = self.link(), self._links()

    async def close(self) -> None:
        """Let go of all of them."""
        await self._writer.close()
        await self._others.close()

    def now(self) -> int | None:
        """Give the store's time if it is not the database's."""
        return None if self.is_real else self._clock.now()

    async def batch(self, work: Work[T]) -> T:
        """Run the transaction of a batch; raises OutcomeUnknown if nothing is known of it."""
        return await self._writer.run(
            lambda connection: self._in_transaction(connection, work), writes=True
        )

    async def batch_at_once(self, call: Callable[[Connection], Awaitable[T]]) -> T:
        """Run a batch that is one statement; raises OutcomeUnknown if nothing is known of it.

        Through a pooler it goes in a transaction, so that the session stays the same.
        """
        if self._address.pooler is None:
            return await self._writer.run(call, writes=True)
        begin = self.connector.begin
        return await self._writer.run(
            lambda connection: in_transaction(
                connection, lambda _: call(connection), self.statements, now=0, begin=begin
            ),
            writes=True,
        )

    async def ask(self, call: Callable[[Connection], Awaitable[T]]) -> T:
        """Run a call on a connection of its own that is gone afterwards."""
        link = self.link()
        try:
            return await link.run(call)
        finally:
            await link.close()

    async def write(self, work: Work[T], *, unknown: bool = False) -> T:
        """Write something that may be written twice: an unknown outcome is one to try again."""
        try:
            return await self._others.run(
                lambda connection: self._in_transaction(connection, work), writes=True
            )
        except OutcomeUnknown as error:
            if unknown:
                raise
            raise StoreUnavailable(str(error)) from error

    async def read(self, work: Work[T], *, snapshot: bool = False) -> T:
        """Read; more than one statement needs a snapshot to see one state."""
        if snapshot:
            return await self._others.run(
                lambda connection: self._in_transaction(connection, work, snapshot=True)
            )
        return await self.at_once(work)

    async def at_once(self, work: Work[T], *, on: Link | None = None) -> T:
        """Run work of one statement, which is a transaction by itself and knows the time."""
        link = on or self._others
        if self._address.pooler is not None:
            return await link.run(lambda connection: self._in_transaction(connection, work))
        return await link.run(
            lambda connection: work(
                PostgresTransaction(connection, self.statements, self.now() or 0)
            )
        )

    async def _in_transaction(
        self, connection: Connection, work: Work[T], *, snapshot: bool = False
    ) -> T:
        begin = self.connector.begin
        if snapshot:
            begin = begin.replace("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 1)
        return await in_transaction(connection, work, self.statements, now=self.now(), begin=begin)
