"""Rules about effects: how often a body begins, and what its flow is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from tests.crash import ledger
from tests.crash.checker.history import (
    FINAL,
    History,
    Violation,
    completed_at_or_above,
    flow_row,
    row_of,
)
from tests.crash.ledger import Line
from tests.crash.snapshot import EffectRow

RESULTS = frozenset({"capture", "once"})


def at_most_once_begins_once(history: History) -> Iterator[Violation]:
    """Find at-most-once bodies that began twice, over all processes and crashes."""
    for flow, effect, lines in history.effects_of("begin"):
        begins = [line for line in lines if line.once]
        if len(begins) > 1:
            yield Violation("at_most_once_begins_once", flow, f"{effect}: {begins}")


def marker_is_stored_before_the_body(history: History) -> Iterator[Violation]:
    """Find at-most-once bodies that began without a marker or result in the store."""
    for flow, effect, lines in history.effects_of("begin"):
        if not any(line.once for line in lines):
            continue
        marked = row_of(history.end, flow, f"{effect}.begun") is not None
        if not marked and completed_at_or_above(history.end, flow, effect) is None:
            yield Violation("marker_is_stored_before_the_body", flow, effect)


def interrupted_is_told_and_stays_told(history: History) -> Iterator[Violation]:
    """Find at-most-once bodies whose flow was told nothing of an unknown outcome, or two things."""
    rule = "interrupted_is_told_and_stays_told"
    for flow, effect, lines in history.effects_of("begin", "saw", "interrupted"):
        told = {line.kind for line in lines} - {"begin"}
        if len(told) > 1:
            yield Violation(rule, flow, f"{effect}: both a result and an interruption: {lines}")
        if not any(line.once for line in lines):
            continue
        row = flow_row(history, flow)
        if row is not None and row.status in FINAL and not told:
            yield Violation(rule, flow, f"{effect}: begun, and the flow ended without a word of it")
        stored = row_of(history.end, flow, effect)
        if stored is not None and "interrupted" in told:
            yield Violation(rule, flow, f"{effect}: interrupted, and yet a result is stored")


def completed_never_begins_again(history: History) -> Iterator[Violation]:
    """Find bodies that began after their effect was complete."""
    rule = "completed_never_begins_again"
    for flow, effect, lines in history.effects_of("begin", "saw"):
        row = row_of(history.end, flow, effect)
        begins = [line for line in lines if line.kind == "begin"]
        for line in begins:
            if row is not None and line.incarnation > row.incarnation:
                text = f"{effect}: complete in incarnation {row.incarnation}, begun again: {line}"
                yield Violation(rule, flow, text)
            for death in history.deaths:
                was = completed_at_or_above(death.stored, flow, effect)
                if line.at > death.at and was is not None and was.kind != "attempt":
                    yield Violation(rule, flow, f"{effect}: was stored, begun again: {line}")
        yield from _begun_after_seen(history, flow, effect, lines)


def _begun_after_seen(
    history: History, flow: str, effect: str, lines: list[Line]
) -> Iterator[Violation]:
    seen: Line | None = None
    for line in lines:
        if line.kind == "saw":
            seen = seen or line
        elif seen is not None:
            if line.pid != seen.pid and history.was_thawing(line, seen.at):
                history.late_begins += 1
                continue
            text = f"{effect}: seen at {seen.at}, begun again: {line}"
            yield Violation("completed_never_begins_again", flow, text)


def answer_is_always_the_same(history: History) -> Iterator[Violation]:
    """Find effects of which a flow saw two results, or one that is not stored."""
    rule = "answer_is_always_the_same"
    for flow, effect, lines in history.effects_of("saw"):
        values = {line.value for line in lines}
        if len(values) > 1:
            yield Violation(rule, flow, f"{effect}: {values}")
        row = row_of(history.end, flow, effect)
        if row is not None and row.kind in RESULTS and not row.failed:
            stored = _text_of(row)
            if values != {stored}:
                yield Violation(rule, flow, f"{effect}: saw {values}, stored is {stored!r}")


def stored_is_never_rewritten(history: History) -> Iterator[Violation]:
    """Find rows that were stored when a process died and are others, or gone, at the end."""
    for death in history.deaths:
        for flow, rows in death.stored.effects.items():
            for key, row in rows.items():
                now = row_of(history.end, flow, key)
                if now != row and not (
                    now is None and _is_beneath(key, history.end.effects.get(flow, {}))
                ):
                    text = f"{key}: was {row}, is {now}"
                    yield Violation("stored_is_never_rewritten", flow, text)


def nothing_is_made_up(history: History) -> Iterator[Violation]:
    """Find results that no body ever gave."""
    for flow, effect, lines in history.effects_of("begin", "end", "raise"):
        row = row_of(history.end, flow, effect)
        if row is None or row.kind not in RESULTS:
            continue
        wanted = "raise" if row.failed else "end"
        given = [line.value for line in lines if line.kind == wanted]
        if not given or (not row.failed and _text_of(row) not in given):
            text = f"{effect}: stored is {row}, its bodies gave {given}"
            yield Violation("nothing_is_made_up", flow, text)


def attempts_are_counted(history: History) -> Iterator[Violation]:
    """Find bodies that began more often in one incarnation than they may be tried."""
    for flow, effect, lines in history.effects_of("begin"):
        kind = effect.rpartition("/")[2].partition("#")[0].partition(" ")[0]
        allowed = history.attempts.get(kind, 1)
        for incarnation, count in Counter(line.incarnation for line in lines).items():
            if count > allowed:
                text = f"{effect}: began {count} times in incarnation {incarnation}"
                yield Violation("attempts_are_counted", flow, text)


def lost_part_is_a_suffix(history: History) -> Iterator[Violation]:
    """Find effects that were stored at a death although one before them was not."""
    for death in history.deaths:
        for flow, rows in death.stored.effects.items():
            first: dict[str, Line] = {}
            told: set[str] = set()
            for line in history.by_flow.get(flow, ()):
                if line.kind == "begin" and "/" not in line.effect and line.at < death.at:
                    first.setdefault(line.effect, line)
                elif line.kind == "interrupted":
                    told.add(line.effect)
            missing = [key for key in first if key not in rows and key not in told]
            stored = [key for key in first if key in rows]
            for key in missing:
                later = [other for other in stored if first[other].at > first[key].at]
                if later:
                    text = f"{key} is lost, and {later} after it are not"
                    yield Violation("lost_part_is_a_suffix", flow, text)


def retry_is_never_early(history: History) -> Iterator[Violation]:
    """Find attempts that began before the instant which a recorded failure had set."""
    for death in history.deaths:
        for flow, rows in death.stored.effects.items():
            for row in rows.values():
                if row.kind != "attempt":
                    continue
                effect = row.key.rpartition(".")[0]
                for line in history.by_flow.get(flow, ()):
                    is_later = line.at > death.at and line.wall < int(row.body)
                    if is_later and (line.kind, line.effect) == ("begin", effect):
                        text = f"{effect}: not before {row.body}: {line}"
                        yield Violation("retry_is_never_early", flow, text)


def nothing_is_left_beneath(history: History) -> Iterator[Violation]:
    """Find rows beneath an effect of an ended flow that is complete."""
    for flow, rows in history.end.effects.items():
        row = flow_row(history, flow)
        if row is None or row.status not in FINAL:
            continue
        for key in rows:
            if _is_beneath(key, rows) and not _stays(key, rows):
                yield Violation("nothing_is_left_beneath", flow, key)


def _stays(key: str, rows: dict[str, EffectRow]) -> bool:
    """Whether a mark stays: what cut or cancelled it, that a failed body began once, a lock's.

    So does the reply to a question; that others were refused on the way does not.
    """
    above = rows.get(key.removesuffix(".begun"))
    begun_once = key.endswith(".begun") and above is not None and above.failed
    is_reply = rows[key].kind == "reply" and key.endswith(".reply")
    is_mark = rows[key].kind in {"cancel", "cut", "lock"}
    return begun_once or is_reply or is_mark or _is_needed(key, rows)


def _is_needed(key: str, rows: dict[str, EffectRow]) -> bool:
    """Whether a row is of a race's winner, or of a saga that ended well: a replay needs it."""
    above = [key[:end] for end, mark in enumerate(key) if mark in "./" and key[:end] in rows]
    return all(
        rows[one].kind == "saga"
        or (rows[one].kind == "race" and key.startswith(f"{one}/{rows[one].body}/"))
        for one in above
    )


def _is_beneath(key: str, rows: dict[str, EffectRow]) -> bool:
    """Whether a key hangs beneath one that is stored, with whose end it had to go."""
    return any(key[:end] in rows for end, mark in enumerate(key) if mark in "./")


def _text_of(row: EffectRow) -> object:
    value = msgspec.json.decode(row.body)
    return ledger.short(value) if isinstance(value, str) else value
