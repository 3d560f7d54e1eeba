"""What this store uses of the driver, with types: the driver itself has hardly any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, cast

import asyncpg

VERSION = asyncpg.__version__
PostgresError = asyncpg.PostgresError
PostgresConnectionError = asyncpg.PostgresConnectionError
InterfaceError = asyncpg.InterfaceError
InternalClientError = asyncpg.InternalClientError

# Arrays whose types the driver would look up anew on every connection: constants of PostgreSQL.
ARRAYS = {1000: ("bool", 16), 1005: ("int2", 21), 1007: ("int4", 23), 1016: ("int8", 20)}


class Connection(Protocol):
    """One session on the server."""

    async def execute(self, query: str, *values: object) -> str:
        """Run a statement and give its status, like `UPDATE 3`."""
        ...

    async def fetch(self, query: str, *values: object) -> Sequence[Any]:
        """Run a statement and give its rows."""
        ...

    async def fetchrow(self, query: str, *values: object) -> Any:
        """Run a statement and give its first row, or None."""
        ...

    async def fetchval(self, query: str, *values: object) -> Any:
        """Run a statement and give the first value of its first row, or None."""
        ...

    async def close(self, *, timeout: float | None = None) -> None:
        """End the session."""
        ...

    def terminate(self) -> None:
        """Close the socket."""
        ...

    def is_closed(self) -> bool:
        """Whether the session has ended."""
        ...

    def is_in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    def get_server_pid(self) -> int:
        """Give the number of the server's process."""
        ...

    async def add_listener(
        self, channel: str, callback: Callable[[object, int, str, object], None]
    ) -> None:
        """Call back for every notification in a channel."""
        ...

    def add_termination_listener(self, callback: Callable[[object], None]) -> None:
        """Call back when the session ends."""
        ...


async def connect(
    url: str, *, timeout: float, statements: int, settings: Mapping[str, str]
) -> Connection:
    """Open a session that caches so many prepared statements."""
    opening = asyncpg.connect(
        url,
        timeout=timeout,
        statement_cache_size=statements,
        max_cached_statement_lifetime=0,
        server_settings=dict(settings) or None,
    )
    connection: Any = await opening
    # Not a public part of the driver: without it each connection asks once, which takes longer.
    with suppress(AttributeError, TypeError, KeyError):
        types = connection._protocol.get_settings()
        types.register_data_types([_array(oid, *rest) for oid, rest in ARRAYS.items()])
    return cast("Connection", connection)


def _array(oid: int, element: str, element_oid: int) -> dict[str, object]:
    """Describe an array type as the driver's own question to the server would."""
    nothing = ("basetype", "range_subtype", "attrtypoids", "attrnames", "basetype_name")
    return {
        "oid": oid,
        "ns": "pg_catalog",
        "name": f"_{element}",
        "kind": b"b",
        "elemtype": element_oid,
        "elemdelim": b",",
        "depth": 0,
        "elemtype_name": element,
        **dict.fromkeys((*nothing, "range_subtype_name")),
    }


def state_of(error: BaseException) -> str:
    """Give the five letters by which the server names an error; empty if it was not the server."""
    return getattr(error, "sqlstate", None) or ""
