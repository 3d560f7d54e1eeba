"""Databases for the turns: made from a prepared one, dropped afterwards; and what the server is."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

Command = Sequence[str | Path]
ROOT = Path(__file__).parents[2]
PREFIX = "bench_rivals_"
# What decides how fast, and how safe, a commit is.
SETTINGS = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
    "max_connections",
)
SAFE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


class Server:
    """A PostgreSQL server on which databases may be created."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self.host = self._url.hostname or "127.0.0.1"
        self.port = self._url.port or 5432

    def url(self, database: str, port: int | None = None) -> str:
        """Give the address of a database, perhaps by another port: a proxy's."""
        user, at, _ = self._url.netloc.rpartition("@")
        place = f"{self.host}:{self.port}" if port is None else f"127.0.0.1:{port}"
        parts = ("postgresql", f"{user}{at}{place}", f"/{database}", "sslmode=disable", "")
        return urlunsplit(parts)

    async def settings(self) -> dict[str, str]:
        """Read the settings; refuse a server that would forget what it committed."""
        try:
            connection = await asyncpg.connect(urlunsplit(self._url))
        except (OSError, asyncpg.PostgresError) as error:
            place = f"{self.host}:{self.port}"
            raise SystemExit(f"no PostgreSQL to measure on at {place}: {error}") from None
        try:
            found = {name: await connection.fetchval(f"SHOW {name}") for name in SETTINGS}
        finally:
            await connection.close()
        unsafe = {name for name, wanted in SAFE.items() if found[name] != wanted}
        if unsafe:
            raise SystemExit(f"this server is not safe against power loss: {', '.join(unsafe)}")
        return found

    async def run(self, *statements: str) -> None:
        """Run statements in the database of the URL."""
        connection = await asyncpg.connect(urlunsplit(self._url))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def prepare(self, name: str, commands: Callable[[str], Sequence[Command]]) -> None:
        """Make the database that the turns of a contender begin with, by commands for its URL."""
        database = f"{PREFIX}{name}_empty"
        await self.run(f"DROP DATABASE IF EXISTS {database}", f"CREATE DATABASE {database}")
        for command in commands(self.url(database)):
            program = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=DEVNULL)
            if await program.wait():
                raise SystemExit(f"no schema for {name}: {command[0]} failed")

    async def clean_up(self, names: list[str]) -> None:
        """Drop what `prepare` made."""
        await self.run(*(f"DROP DATABASE IF EXISTS {PREFIX}{name}_empty" for name in names))

    @asynccontextmanager
    async def database(self, name: str) -> AsyncIterator[str]:
        """Give a new database for one turn. Dropping it makes a checkpoint: turns begin alike."""
        database = f"{PREFIX}{name}"
        drop = f"DROP DATABASE IF EXISTS {database} WITH (FORCE)"
        await self.run(drop, f"CREATE DATABASE {database} TEMPLATE {PREFIX}{name}_empty")
        try:
            yield database
        finally:
            await self.run(drop)
