"""What a checker is given, and what it answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import msgspec

from tests.crash.ledger import Line
from tests.crash.snapshot import EffectRow, FlowRow, Snapshot

# How long after a freeze ends a body may still begin that was about to: no fence stops code
# between its last look at the lease and its first line.
THAW = 50_000
FINAL = frozenset({"done", "failed", "cancelled"})


class Violation(msgspec.Struct, frozen=True):
    """A broken promise: the rule, the flow, and what was seen."""

    rule: str
    flow: str
    text: str


class Death(msgspec.Struct, frozen=True):
    """The store just after a process was killed, before any other touched it."""

    at: int
    stored: Snapshot


class History:
    """Everything that is known about one run.

    `expected` has the result of each flow as a pure model tells it, `volatile` the parts of it that
    may differ; `attempts` says how often an effect of a name may be tried in one incarnation.
    """

    def __init__(
        self,
        lines: list[Line],
        end: Snapshot,
        *,
        deaths: tuple[Death, ...] = (),
        expected: dict[str, Any] | None = None,
        volatile: tuple[str, ...] = (),
        attempts: dict[str, int] | None = None,
    ) -> None:
        self.lines = sorted(lines, key=lambda line: line.at)
        self.end = end
        self.deaths = deaths
        self.expected = expected or {}
        self.volatile = volatile
        self.attempts = attempts or {}
        self.late_begins = 0

    @cached_property
    def by_flow(self) -> dict[str, list[Line]]:
        """Give the lines of each flow in the order of time."""
        lines: defaultdict[str, list[Line]] = defaultdict(list)
        for line in self.lines:
            if line.flow:
                lines[line.flow].append(line)
        return dict(lines)

    def effects_of(self, *kinds: str) -> Iterator[tuple[str, str, list[Line]]]:
        """Give flow, effect and lines of these kinds, for each effect that has any."""
        for flow, lines in self.by_flow.items():
            found: defaultdict[str, list[Line]] = defaultdict(list)
            for line in lines:
                if line.effect and line.kind in kinds:
                    found[line.effect].append(line)
            for effect, chosen in found.items():
                yield flow, effect, chosen

    @cached_property
    def freezes(self) -> dict[int, list[tuple[int, int]]]:
        """Give for each process when it was stopped and continued."""
        stopped: dict[int, int] = {}
        found: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for line in self.lines:
            if line.kind == "stopped":
                stopped[line.value] = line.at
            elif line.kind == "continued":
                found[line.value].append((stopped[line.value], line.at))
        return dict(found)

    def was_thawing(self, line: Line, since: int) -> bool:
        """Whether a process that was frozen since an earlier moment had just come to."""
        return any(
            stop <= since and resume <= line.at <= resume + THAW
            for stop, resume in self.freezes.get(line.pid, ())
        )


def row_of(snapshot: Snapshot, flow: str, effect: str) -> EffectRow | None:
    """Give the stored row of an effect."""
    return snapshot.effects.get(flow, {}).get(effect)


def completed_at_or_above(snapshot: Snapshot, flow: str, effect: str) -> EffectRow | None:
    """Give the row that makes an effect complete: its own, or one of whose body it is a part."""
    rows = snapshot.effects.get(flow, {})
    parts = effect.split("/")
    for end in range(len(parts), 0, -1):
        row = rows.get("/".join(parts[:end]))
        if row is not None and row.kind != "begun":
            return row
    return None


def flow_row(history: History, flow: str) -> FlowRow | None:
    """Give the flow's row at the end."""
    return history.end.flows.get(flow)
