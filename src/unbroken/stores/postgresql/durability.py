"""What a committed transaction survives on this server, read when the store is opened."""

from __future__ import annotations

import logging

import msgspec

from unbroken.stores.postgresql.driver import Connection

SAFE = frozenset({"on", "remote_write", "remote_apply"})


class Durability(msgspec.Struct, frozen=True):
    """The settings that decide it."""

    version: int
    fsync: bool
    full_page_writes: bool
    synchronous_commit: str

    @property
    def survives_power_loss(self) -> bool:
        """Whether what was acknowledged is there after the power failed."""
        return self.fsync and self.full_page_writes and self.synchronous_commit in SAFE | {"local"}

    def in_words(self) -> str:
        """Say it for people."""
        name = f"PostgreSQL {self.version // 10000}"
        if self.survives_power_loss:
            return f"power loss ({name}, synchronous_commit={self.synchronous_commit})"
        if not self.fsync:
            return (
                f"a crash of this process ({name}, fsync=off: a crash of the server's machine may "
                "destroy the database)"
            )
        if not self.full_page_writes:
            return (
                f"a crash of the server ({name}, full_page_writes=off: power loss may damage pages)"
            )
        return (
            f"a crash of this process ({name}, synchronous_commit={self.synchronous_commit}: the "
            "last moments before a crash of the server are lost)"
        )

    def warn(self, logger: logging.Logger) -> None:
        """Say loudly, once, that it is less than it could be."""
        if not self.survives_power_loss:
            logger.warning(
                "COMMITTED EFFECTS MAY BE LOST: what the database acknowledges survives only %s. "
                "An effect may then run a second time, even one that is at most once.",
                self.in_words(),
            )


async def read_durability(connection: Connection, settings: str) -> Durability:
    """Ask the server."""
    found = {row[0]: row[1] for row in await connection.fetch(settings)}
    return Durability(
        int(found["server_version_num"]),
        found["fsync"] == "on",
        found["full_page_writes"] == "on",
        found["synchronous_commit"],
    )
