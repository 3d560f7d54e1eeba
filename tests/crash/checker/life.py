"""Rules about the life of flows and replicas: who runs what, when, and how it ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from tests.crash.bodies import INTERRUPTED
from tests.crash.checker.history import FINAL, History, Violation
from tests.crash.ledger import Line


def incarnation_has_one_process(history: History) -> Iterator[Violation]:
    """Find incarnations that ran in two processes."""
    for flow, lines in history.by_flow.items():
        pids: defaultdict[int, set[int]] = defaultdict(set)
        for line in lines:
            if line.kind == "started":
                pids[line.incarnation].add(line.pid)
        for incarnation, found in pids.items():
            if len(found) > 1:
                text = f"incarnation {incarnation} ran in processes {found}"
                yield Violation("incarnation_has_one_process", flow, text)


def fenced_never_writes_again(history: History) -> Iterator[Violation]:
    """Find replicas that wrote after they had been declared dead."""
    fenced: dict[str, Line] = {}
    for line in history.lines:
        if line.kind == "fenced":
            fenced.setdefault(line.effect, line)
        elif line.kind == "landed" and line.effect in fenced:
            yield Violation("fenced_never_writes_again", "", f"{fenced[line.effect]}, then {line}")


def lost_begins_no_body(history: History) -> Iterator[Violation]:
    """Find bodies that a process began in an incarnation it had lost with its identity."""
    fenced: dict[int, int] = {}
    begun: dict[tuple[int, str, int], int] = {}
    for line in history.lines:
        if line.kind == "fenced":
            fenced[line.pid] = line.at
        elif line.kind == "started":
            begun[line.pid, line.flow, line.incarnation] = line.at
        elif line.kind == "begin" and line.pid in fenced:
            since = begun.get((line.pid, line.flow, line.incarnation), line.at)
            if since < fenced[line.pid]:
                yield Violation("lost_begins_no_body", line.flow, str(line))


def sleep_is_never_early(history: History) -> Iterator[Violation]:
    """Find waits that were over before their time."""
    for flow, effect, lines in history.effects_of("sleeping", "slept"):
        begin: Line | None = None
        for line in lines:
            if line.kind == "sleeping":
                begin = begin or line
            elif begin is None or line.wall < begin.wall + begin.value:
                yield Violation("sleep_is_never_early", flow, f"{effect}: {begin}, {line}")


def ended_stays_ended(history: History) -> Iterator[Violation]:
    """Find flows that ended twice, or otherwise than somebody had been told."""
    for flow, lines in history.by_flow.items():
        results = [line.value for line in lines if line.kind == "result"]
        if any(result != results[0] for result in results):
            yield Violation("ended_stays_ended", flow, f"told: {results}")
    for death in history.deaths:
        for flow, row in death.stored.flows.items():
            now = history.end.flows.get(flow)
            if row.status in FINAL and now != row:
                yield Violation("ended_stays_ended", flow, f"was {row}, is {now}")
            if now is not None and (now.inbox < row.inbox or now.incarnation < row.incarnation):
                yield Violation("ended_stays_ended", flow, f"went back: was {row}, is {now}")


def acknowledged_start_exists(history: History) -> Iterator[Violation]:
    """Find flows whose start was acknowledged and that are not in the store."""
    for flow, lines in history.by_flow.items():
        acknowledged = [line for line in lines if line.kind in {"scheduled", "result"}]
        if acknowledged and flow not in history.end.flows:
            yield Violation("acknowledged_start_exists", flow, str(acknowledged[0]))


def nothing_is_stuck(history: History) -> Iterator[Violation]:
    """Find flows that have not ended although nothing stood in their way, and parked ones."""
    for flow, row in history.end.flows.items():
        if row.status not in FINAL:
            yield Violation("nothing_is_stuck", flow, str(row))


def ended_is_owned_by_nobody(history: History) -> Iterator[Violation]:
    """Find ended flows that are owned or due."""
    for flow, row in history.end.flows.items():
        if row.status in FINAL and (row.owner is not None or row.due_at is not None):
            yield Violation("ended_is_owned_by_nobody", flow, str(row))


def result_is_as_expected(history: History) -> Iterator[Violation]:
    """Find results that an undisturbed run would not have; an interruption must have been told."""
    interrupted = {line.flow for line in history.lines if line.kind == "interrupted"}
    for flow, expected in history.expected.items():
        told = any(f"{one}/".startswith(f"{flow}/") for one in interrupted)
        for line in history.by_flow.get(flow, ()):
            if line.kind == "result" and not _same(expected, line.value, history.volatile, told):
                text = f"expected {expected}, got {line.value}"
                yield Violation("result_is_as_expected", flow, text)


def _same(expected: Any, found: Any, volatile: tuple[str, ...], told: bool) -> bool:
    if found == INTERRUPTED:
        return told
    if isinstance(expected, list) and isinstance(found, list):
        pairs = zip(expected, found, strict=False)
        same = all(_same(one, other, volatile, told) for one, other in pairs)
        return same and len(expected) == len(found)
    if not isinstance(expected, dict) or not isinstance(found, dict):
        return bool(expected == found)
    return expected.keys() == found.keys() and all(
        name in volatile or _same(value, found[name], volatile, told)
        for name, value in expected.items()
    )


def file_is_sound(history: History) -> Iterator[Violation]:
    """Find a damaged file."""
    snapshots = [history.end, *(death.stored for death in history.deaths)]
    if not all(snapshot.sound for snapshot in snapshots):
        yield Violation("file_is_sound", "", "PRAGMA integrity_check complains")
