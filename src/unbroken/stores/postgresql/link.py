"""One connection: opened when it is needed, given up when it is in doubt, never hung upon.

A call on it runs to its end whatever becomes of the task that waits for it: the driver would ask
the server to cancel a statement, perhaps in the middle of a commit. What does not answer within
its time is ended by closing the socket, and by nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from unbroken.model.errors import StoreUnavailable
from unbroken.stores.postgresql.driver import Connection
from unbroken.stores.postgresql.faults import Complaint, ends_connection, explain, is_to_try_again

T = TypeVar("T")
Call = Callable[[Connection], Awaitable[T]]
Connect = Callable[[], Awaitable[Connection]]

MOST_TRIES = 10


class Link:
    """Runs one call at a time on one connection."""

    def __init__(self, connect: Connect, patience: float) -> None:
        self._connect = connect
        self._patience = patience
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Whether a call would find a connection that stands, as far as anybody knows."""
        return self._connection is not None and not self._connection.is_closed()

    async def run(self, call: Call[T], *, writes: bool = False) -> T:
        """Run a call; raises what its failure means.

        Of a call that `writes` nothing is known when the connection ends: OutcomeUnknown. What the
        server undid because of others is run again, whole.
        """
        running = asyncio.ensure_future(self._run(call, writes=writes))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            running.add_done_callback(_hear)
            raise

    async def _run(self, call: Call[T], *, writes: bool) -> T:
        async with self._turn:
            for attempt in range(MOST_TRIES):
                connection = await self._ready()
                timer = asyncio.get_running_loop().call_later(self._patience, connection.terminate)
                try:
                    return await call(connection)
                except Complaint as error:
                    if ends_connection(error) or connection.is_closed():
                        self._drop()
                        raise explain(error, may_have_landed=writes) from error
                    if is_to_try_again(error) and attempt < MOST_TRIES - 1:
                        continue
                    raise explain(error) from error
                except BaseException:
                    if connection.is_closed() or connection.is_in_transaction():
                        self._drop()
                    raise
                finally:
                    timer.cancel()
        raise StoreUnavailable("the server undid the transaction again and again")

    async def _ready(self) -> Connection:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """Let go of the connection once the call under way has ended."""
        async with self._turn:
            self._closed = True
            connection, self._connection = self._connection, None
            if connection is None or connection.is_closed():
                return
            try:
                await connection.close(timeout=self._patience)
            except Complaint:
                connection.terminate()


class Links:
    """Several connections for whatever need not wait for one another."""

    def __init__(self, links: list[Link]) -> None:
        self._all = links
        self._free: list[Link] = list(links)
        self._room = asyncio.Semaphore(len(links))

    async def run(self, call: Call[T], *, writes: bool = False) -> T:
        """Run a call on a connection that is free; one that is open comes first.

        Where the server has no room for more, those that are open serve all.
        """
        async with self._room:
            link = next((one for one in reversed(self._free) if one.is_open), self._free[-1])
            self._free.remove(link)
            try:
                return await link.run(call, writes=writes)
            finally:
                self._free.append(link)

    async def close(self) -> None:
        """Let go of all of them."""
        for link in self._all:
            await link.close()


def _hear(running: asyncio.Future[Any]) -> None:
    """Nobody waits for the answer any more."""
    if not running.cancelled():
        running.exception()
