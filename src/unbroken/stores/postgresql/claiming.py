"""A claim in one statement: fence, choice, ownership, effects and messages in one round trip."""

from __future__ import annotations

from functools import cache
from typing import Any

from unbroken.model.errors import OutcomeUnknown
from unbroken.model.records import Claimed, Effect, FlowRef, Message
from unbroken.stores.batch import Batch, Claim, Receipt
from unbroken.stores.postgresql.catalogue import Statement, read_texts, statement
from unbroken.stores.postgresql.driver import Connection, PostgresError, state_of
from unbroken.stores.postgresql.faults import Complaint
from unbroken.stores.postgresql.landing import park_unreadable
from unbroken.stores.postgresql.one_statement import DIVISION_BY_ZERO, Unusual
from unbroken.stores.transactions.rows import decode_parents
from unbroken.stores.transactions.transaction import DamagedRow


def is_claim(batch: Batch) -> bool:
    """Whether a batch is a claim and nothing else."""
    return batch.claim is not None and not (
        batch.starts or batch.records or batch.states or batch.changes or batch.last
    )


@cache
def compose_claim(prefix: str, *, beats: bool) -> Statement:
    """Join the parts of a claim into one statement."""
    texts = read_texts(prefix)
    parts = ("fence", "beat", "claim") if beats else ("fence", "claim")
    body = ", ".join(texts[f"with_{part}"] for part in parts)
    whole = texts["whole_claim"].replace("{parts}", body)
    return statement(whole.replace("{answer}", texts["answer_claim"]))


async def claim_at_once(
    connection: Connection, batch: Batch, claim: Claim, *, prefix: str, now: int | None, beats: bool
) -> Receipt | None:
    """Claim in one statement. None: fenced. Raises Unusual if there are suspects: nothing written.

    What was claimed and cannot be read is parked. The claim has landed by then: an error is
    OutcomeUnknown, so that what the replica owns is read again.
    """
    values = {
        "replica": batch.replica,
        "generation": batch.generation,
        "number": batch.number,
        "now": now,
        "types": list(claim.types),
        "dead": list(claim.dead),
        "limit": claim.limit,
    }
    composed = compose_claim(prefix, beats=beats)
    try:
        rows = await connection.fetch(composed.text, *[values[name] for name in composed.names])
    except PostgresError as error:
        if state_of(error) == DIVISION_BY_ZERO:
            raise Unusual from None
        raise
    if not rows:
        return None
    at: int = rows[0][0]
    claimed: list[Claimed] = []
    parked: list[FlowRef] = []
    try:
        for row in rows:
            if row[1] is None:
                continue
            try:
                claimed.append(_to_claimed(row))
            except DamagedRow:
                parked.append(await park_unreadable(connection, row[1], prefix, at))
    except Complaint as error:
        raise OutcomeUnknown(f"claimed, but {type(error).__name__} came between") from error
    return Receipt(at, claimed=tuple(claimed), parked=tuple(parked))


def _to_claimed(row: Any) -> Claimed:
    _, number, type_, id_, incarnation, param, inbox, crashes, parents, *counters = row[:12]
    effects = (
        tuple(
            Effect(key, kind, body, type_, failed, digest, written)
            for key, kind, body, type_, failed, digest, written in zip(*row[12:19], strict=True)
        )
        if row[12] is not None
        else ()
    )
    messages = (
        tuple(Message(*columns) for columns in zip(*row[19:24], strict=True))
        if row[19] is not None
        else ()
    )
    return Claimed(
        FlowRef(number, type_, id_),
        incarnation,
        param,
        inbox,
        crashes,
        decode_parents(parents),
        effects,
        messages,
        *counters,
    )
