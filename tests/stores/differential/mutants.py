"""Stores with one wrong line, which the comparison must find out.

python -m tests.stores.differential.mutants [SEQUENCES]

Prints for each one which sequence found it, and at which step.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import cast
from unittest.mock import patch

import msgspec

from tests.stores.differential.comparing import Difference
from tests.stores.differential.fresh import run_seed
from unbroken.stores.sqlite.connection import SQL

SEQUENCES = 300


class Mutant(msgspec.Struct, frozen=True):
    """A statement of the SQLite store, and what stands in it instead."""

    what: str
    statement: str
    text: str
    instead: str
    found_by: int | None = None
    """A sequence known to find it out, if those that do are rare: it is tried first."""

    def apply(self) -> AbstractContextManager[object]:
        """Break the store for a while."""
        whole = SQL[self.statement]
        assert self.text in whole, f"{self.statement} does not say {self.text!r} any more"
        broken = {self.statement: whole.replace(self.text, self.instead)}
        return patch.dict(cast("dict[str, str]", SQL), broken)


MUTANTS: Mapping[str, Mutant] = {
    one.what: one
    for one in (
        # fence and replicas
        Mutant("the fence compares no number", "fence", "AND batch = :number - 1", ""),
        Mutant("the fence compares no generation", "fence", "AND generation = :generation", ""),
        Mutant("settling lowers a generation", "settle", "AND generation < :target", ""),
        Mutant("a replica's own lease is not spared", "reap", "max(lease, :lease)", ":lease"),
        # texts
        Mutant("ids are found whatever their case", "find", "id = :id", "id = :id COLLATE NOCASE"),
        Mutant(
            "trailing spaces of ids do not count",
            "view",
            "id = :id",
            "id = :id COLLATE RTRIM",
            145,
        ),
        Mutant(
            "what is beneath a key is found by a pattern",
            "clear",
            "key >= :key || '.' AND key < :key || '0'",
            "(key LIKE :key || '.%' OR key LIKE :key || '/%')",
        ),
        Mutant("keys are sorted without case", "effects_in_order", "BY key", "BY lower(key), key"),
        Mutant("a range ends too early", "drop_effects", "< :end", "< :begin || '0'"),
        # records
        Mutant("a record asks no owner", "record", "AND owner = ?9", ""),
        Mutant("a record asks no incarnation", "record", "AND incarnation = ?8", ""),
        Mutant("a message is not consumed", "consume", "consumed = 1", "consumed = consumed"),
        Mutant("a message is not restored", "restore", "consumed = 0", "consumed = consumed"),
        Mutant("a record drops itself", "drop_effects", " AND key <> :own", ""),
        Mutant("an error's mark is lost", "reply", "reply_failed = :failed", "reply_failed = 0"),
        Mutant(
            "a state is shown by anyone",
            "publish",
            "AND owner = :replica AND incarnation = :incarnation",
            "",
        ),
        # inboxes
        Mutant("a message comes too early", "append", "max(:now, not_before)", ":now"),
        Mutant("a parked flow takes no message", "append", "IN ('live', 'parked')", "= 'live'"),
        Mutant("a message wakes a parked flow", "append", "OR status = 'parked'", ""),
        Mutant("a parked parent hears nothing", "append_by_number", ", 'parked')", ")", 41),
        Mutant("news wake a parked parent", "append_by_number", "AND status = 'live'", "", 41),
        Mutant("no message makes due", "append_by_number", "WHEN owner IS NULL", "WHEN 0"),
        Mutant(
            "the owner's own message is reported as moved",
            "append",
            "seen + :count ELSE seen END",
            "seen ELSE seen END",
        ),
        Mutant(
            "what is acknowledged is forgotten", "acknowledge", "max(seen, :inbox)", ":inbox", 51
        ),
        Mutant("old messages stay", "forget_messages", "consumed = 2 OR", "0 OR"),
        Mutant("who consumed news loses them", "drop_told", "AND consumed = 0", ""),
        # how runs end
        Mutant("a suspension ignores the inbox", "suspend", "AND inbox = :seen", ""),
        Mutant("done although cancelled", "end_flow", "OR NOT cancel", "OR 1"),
        Mutant("unknown parents are not told", "end_flow", "OR parents = :parents", "OR 1"),
        Mutant("failures are not counted", "retry_flow", "failures + 1", "failures"),
        Mutant("a retry ignores a cancel", "retry_flow", "AND NOT cancel", ""),
        Mutant(
            "a new beginning keeps failures",
            "continue_flow",
            "failures = 0",
            "failures = failures",
            135,
        ),
        # claims
        Mutant("the youngest is claimed", "due", "ORDER BY due_at", "ORDER BY due_at DESC"),
        Mutant("claimed too early", "due", "due_at <= :now", "due_at <= :now + 1"),
        Mutant(
            "the living are robbed",
            "orphans",
            "NOT EXISTS (SELECT 1 FROM replicas",
            "NOT EXISTS (SELECT 1 FROM replicas r WHERE 0) OR NOT EXISTS (SELECT 1 FROM replicas",
        ),
        Mutant("progress does not count", "claim", "THEN 1 ELSE", "THEN crashes + 1 ELSE"),
        Mutant("a claim leaves the incarnation", "claim", "incarnation + 1", "incarnation"),
        # queues
        Mutant("a place is granted beyond the limit", "grant", "AND most > (", "AND 1000 > ("),
        Mutant(
            "who comes last is served first",
            "next_in_queue",
            "p.position LIMIT",
            "p.position DESC LIMIT",
        ),
        Mutant("a parked flow is waited for", "next_in_queue", "AND f.status = 'live'", "", 274),
        Mutant(
            "places stay with what is beneath", "leave_with_effect", "< :key || '0')", "< :key)"
        ),
        # operators and readers
        Mutant("a restart keeps the cancel", "restart", "cancel = 0", "cancel = cancel"),
        Mutant("all types are mended", "mend", "AND type IN", "AND type NOT IN ('') OR type IN"),
        Mutant("deleted at the very instant", "ended_before", "< :before", "<= :before", 74),
        Mutant("one that ended is reached", "correlated", "AND f.status IN ('live', 'parked')", ""),
        Mutant("a parked flow is not reached", "correlated", ", 'parked')", ")"),
        Mutant(
            "a page begins with the last one", "list_flows", "number > :after", "number >= :after"
        ),
        Mutant("all questions exist", "poll", "WHERE NOT EXISTS", "WHERE 0 AND NOT EXISTS"),
        Mutant("nothing is reported as moved", "poll", "f.inbox > f.seen", "0"),
    )
}


async def killer_of(mutant: Mutant, sequences: int = SEQUENCES) -> tuple[int, Difference] | None:
    """Give the first sequence that finds it out, and how."""
    with mutant.apply():
        rare = () if mutant.found_by is None else (mutant.found_by,)
        for seed in (*rare, *range(sequences)):
            _, difference = await run_seed(seed)
            if difference is not None:
                return seed, difference
    return None


async def main() -> int:
    """Print the table; how many survived, for the shell."""
    sequences = int(sys.argv[1]) if len(sys.argv) > 1 else SEQUENCES
    survivors = 0
    for mutant in MUTANTS.values():
        found = await killer_of(mutant, sequences)
        survivors += found is None
        told = f"sequence {found[0]:>3}, step {found[1].step.number}" if found else "SURVIVED"
        print(f"{mutant.what:<50} {told}", flush=True)
    return survivors


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
