"""What a person should know of a PostgreSQL database, read without changing anything."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from unbroken.model.clock import Clock
from unbroken.stores.postgresql.address import PostgreSQL, place_of
from unbroken.stores.postgresql.catalogue import Statement, migrations
from unbroken.stores.postgresql.driver import VERSION, Connection
from unbroken.stores.postgresql.durability import read_durability
from unbroken.stores.postgresql.schema import check_version, schema_version
from unbroken.stores.postgresql.transaction import PostgresTransaction
from unbroken.stores.sql import pending
from unbroken.stores.store import Finding

TRIES = 20
MICROSECONDS = 1_000_000
FAR_APART = 5.0
LONG = 3600.0
FEW_LEFT = 10


async def examine(
    connection: Connection,
    address: PostgreSQL,
    statements: Mapping[str, Statement],
    clock: Clock,
) -> tuple[Finding, ...]:
    """Look at the server, the schema and who uses them; raises what opening would raise."""
    durability = await read_durability(connection, statements["settings"].text)
    check_version(durability.version)
    weak = (
        None
        if durability.survives_power_loss
        else "effects may run twice after a crash of the server: turn the setting on"
    )
    tx = PostgresTransaction(connection, statements, 0)
    found = [
        Finding("place", place_of(address.url)),
        Finding("server", _version(durability.version)),
        Finding("driver", f"asyncpg {VERSION}"),
        Finding("durability", durability.in_words(), weak),
        await _schema(tx, address.prefix),
        await _writing(tx),
        await _round_trip(tx, clock),
        await _time(tx, clock),
        await _connections(tx),
        await _snapshots(tx),
        _wakes(address),
    ]
    if await schema_version(tx) is not None:
        found += await _life(tx)
    return tuple(found)


def _version(number: int) -> str:
    return f"PostgreSQL {number // 10000}.{number % 10000}"


async def _schema(tx: PostgresTransaction, prefix: str) -> Finding:
    version = await schema_version(tx)
    if version is None:
        return Finding("schema", f"none under the prefix {prefix}: made at the first start")
    missing = ", ".join(one.name for one in pending(migrations(prefix), version))
    state = f"lacks {missing}: applied at the next start" if missing else "up to date"
    return Finding("schema", f"version {version} under the prefix {prefix}, {state}")


async def _writing(tx: PostgresTransaction) -> Finding:
    (read_only, may_create) = (await tx.all("may_write"))[0]
    if read_only:
        return Finding("writing", "refused", "the server or session is read-only: no flow can run")
    if not may_create:
        text = "the user may not CREATE in its schema"
        return Finding("writing", text, "only a schema that is up to date can be used")
    return Finding("writing", "allowed")


async def _round_trip(tx: PostgresTransaction, clock: Clock) -> Finding:
    taken: list[float] = []
    for _ in range(TRIES):
        begin = clock.monotonic()
        await tx.first("time")
        taken.append(clock.monotonic() - begin)
    return Finding("round trip", f"{median(taken) * 1000:.2f} ms (median of {TRIES})")


async def _time(tx: PostgresTransaction, clock: Clock) -> Finding:
    begin = clock.now()
    row = await tx.first("time")
    assert row is not None
    apart = (row[0] - (begin + clock.now()) / 2) / MICROSECONDS
    warning = None
    if abs(apart) > FAR_APART:
        warning = "flows wait by the server's clock; set one of the two right"
    return Finding("clock", f"the server's is {apart:+.3f} s from this machine's", warning)


async def _connections(tx: PostgresTransaction) -> Finding:
    used, most = (await tx.all("connections"))[0]
    few = most - used < FEW_LEFT
    warning = "raise max_connections or use a pooler: each process takes six" if few else None
    return Finding("connections", f"{used} of {most} in use", warning)


async def _snapshots(tx: PostgresTransaction) -> Finding:
    (seconds,) = (await tx.all("oldest_transaction"))[0]
    warning = "rows that change often bloat meanwhile: end it" if seconds > LONG else None
    return Finding("oldest transaction", f"{seconds:,.0f} s", warning)


def _wakes(address: PostgreSQL) -> Finding:
    if not address.notify:
        return Finding("wake-ups", "by polls alone (notify=off)")
    if address.pooler is not None and address.listen_url is None:
        text = "other processes are heard of by polls: name the server itself as listen_url"
        return Finding("wake-ups", "by polls alone, through the pooler", text)
    return Finding("wake-ups", f"by LISTEN at {place_of(address.listen_url or address.url)}")


async def _life(tx: PostgresTransaction) -> list[Finding]:
    replicas, silent = (await tx.all("replicas_alive"))[0]
    oldest = f", the longest silent for {silent:.1f} s" if replicas else ""
    (flows,) = (await tx.all("flows_about"))[0]
    live, parked = (await tx.all("flows_live"))[0]
    return [
        Finding("replicas", f"{replicas}{oldest}"),
        Finding(
            "flows",
            f"about {max(flows, live):,}, of them {live:,} owned or due, {parked:,} mendable",
        ),
    ]
