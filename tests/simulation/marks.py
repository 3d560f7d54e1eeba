"""The ledger of things that sometimes happen: who never met them has not tried them.

A mark is one sentence. All of them stand here, and nothing else is counted under their names. Those
in `RARE` come too seldom for the block of seeds that every run of the tests lives through; they are
demanded of a campaign.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tests.crash.ledger import Line

WAITS = (
    "a sleep",
    "a message",
    "a message with a limit",
    "a stream",
    "a child",
    "a lock",
    "several branches",
    "a pause before a retry",
    "an effect",
    "an effect that may begin once",
    "a question",
)
WRITES = ("an effect", "a suspension", "an end", "a start", "a message", "a claim", "a place")
MARKS: tuple[str, ...] = (
    # the network and the database
    "operation: refused",
    "operation: unknown",
    "operation: late",
    "operation: slow",
    "operation: stalled",
    "operation: aborted",
    "operation: doubled",
    "operation: rejected",
    "spell: read-only",
    "spell: full",
    "spell: standing still",
    "spell: cut off",
    "spell: failed over",
    "clock: the store's jumped on",
    "clock: the store's jumped back",
    "clock: a replica's jumped",
    "wake: dropped",
    "wake: doubled",
    "wake: overtaken",
    "process: killed",
    "process: frozen",
    # what is not known, and what comes late
    "unknown: had landed",
    "unknown: had not landed",
    "unknown: declared dead meanwhile",
    "unknown: a claim had landed",
    "unknown: a start had landed",
    "unknown: a suspension had landed",
    "unknown: an end had landed",
    "late: landed",
    "late: fenced off",
    "late: refused",
    "doubled: fenced off",
    "doubled: harmless",
    "doubled: refused",
    # identities
    *(f"zombie: {write} was refused" for write in WRITES),
    "beat: the row was gone",
    "replica: lost its identity twice",
    "replica: left cleanly",
    "replica.abandoned",
    "flow.left_behind",
    "flow.refused",
    # owners
    *(f"takeover: during {wait}" for wait in WAITS),
    "takeover: by the same process",
    "takeover: twice of one flow",
    "claim: of a suspended flow, elsewhere",
    "claim: of a suspended flow, where it was",
    "claim: came too late",
    "claim: of a suspect",
    "flow.poison",
    # batches
    "batch: shared by several flows",
    "batch: split",
    "suspension: refused, the inbox moved",
    "end: refused, a cancel came",
    "end: refused, a parent joined",
    "flow: released by a stop",
    # time
    "timer: beat the message",
    "timer: the message beat it",
    "timer: the message came after all",
    # cancels
    "cancel: met a flow that runs",
    "cancel: met a suspended flow",
    "cancel: came after the end",
    "cancel: was asked twice",
    "cancel: raised in an effect",
    "cancel: raised in a wait",
    # messages
    "message: duplicate",
    "message: to a flow that has ended",
    "message: to no flow",
    "message: woke a suspended flow",
    "message: to a flow that runs elsewhere",
    # composition
    "start: found it there",
    "child: had ended before it was asked for",
    "child: its end woke a suspended parent",
    "child: its end met a parent in memory",
    "child: ended before the parent waited",
    "race: won by the first",
    "race: won by the second",
    "race: what the loser held came back",
    "lock: held at once",
    "lock: waited for",
    "lock: passed on",
    "once: interrupted and told",
    "attempt: recorded, and tried elsewhere",
    "flow.cancelled",
    "flow.failed",
    # the rest of the language
    "flow.retried",
    "flow: continued as new",
    "flow.parked",
    "flows.mended",
    "flow: restarted by an operator",
    "question: answered after a takeover",
    "question: refused",
    "correlation: reached a flow",
    "state: published",
    "patch: recorded",
)
SHORT = "what dies there stands there for a few milliseconds in most programs"
TWICE = "two things that are seldom meet in one moment"
FEW = "few programs have the word for it"
RARE: Mapping[str, str] = {
    **dict.fromkeys((f"zombie: {write} was refused" for write in WRITES), TWICE),
    **dict.fromkeys((f"takeover: during {wait}" for wait in WAITS), SHORT),
    "operation: rejected": "only a batch of several flows' effects can be taken apart",
    "batch: split": "only a batch of several flows' effects can be taken apart",
    "clock: the store's jumped back": "a small step back, in the runs that know clocks",
    "unknown: a claim had landed": TWICE,
    "unknown: a start had landed": TWICE,
    "unknown: a suspension had landed": TWICE,
    "unknown: an end had landed": TWICE,
    "doubled: refused": TWICE,
    "replica.abandoned": "a stop in the midst of a store that stands still",
    "flow.left_behind": "code that does not leave while its process stops",
    "flow.refused": TWICE,
    "takeover: by the same process": TWICE,
    "claim: of a suspect": FEW,
    "flow.poison": FEW,
    "flow: released by a stop": TWICE,
    "end: refused, a cancel came": TWICE,
    "end: refused, a parent joined": TWICE,
    "timer: the message beat it": FEW,
    "timer: the message came after all": FEW,
    "cancel: was asked twice": TWICE,
    "cancel: raised in an effect": SHORT,
    "child: had ended before it was asked for": FEW,
    "race: what the loser held came back": TWICE,
    "lock: waited for": TWICE,
    "lock: passed on": TWICE,
    "attempt: recorded, and tried elsewhere": SHORT,
    "flow.retried": FEW,
    "flow.parked": "needs a deploy that does not fit",
    "flows.mended": "needs a deploy that does not fit",
    "flow: restarted by an operator": FEW,
    "patch: recorded": FEW,
}
"""Marks that some hundred seeds may not meet, and why; thousands must."""

OF_LINES = {
    "killed": "process: killed",
    "stopped": "process: frozen",
    "interrupted": "once: interrupted and told",
}


class Marks:
    """Counts marks; one that is not listed is a mistake."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(MARKS, 0)

    def note(self, mark: str, times: int = 1) -> None:
        """Count a mark."""
        assert mark in self.counts, f"{mark!r} is not listed"
        self.counts[mark] += times

    def take_from(self, lines: Sequence[Line], events: Mapping[str, int]) -> None:
        """Count what the ledger and the apps told."""
        for line in lines:
            mark = OF_LINES.get(line.kind)
            if mark is not None:
                self.note(mark)
        for name, times in events.items():
            if name in self.counts:
                self.note(name, times)


def missing(met: Mapping[str, int]) -> list[str]:
    """Give the marks that were never met."""
    return [mark for mark in MARKS if not met.get(mark)]


def table(met: Mapping[str, int]) -> str:
    """Give every mark with its count, in the order of the list."""
    lines = [f"    {mark:<48}{met.get(mark, 0):>10,}" for mark in MARKS]
    return "\n".join(lines)


def others(met: Counter[str]) -> list[tuple[str, int]]:
    """Give what was counted beside the marks."""
    return sorted((name, times) for name, times in met.items() if name not in MARKS)
