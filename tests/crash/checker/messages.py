"""Rules about messages: stored when accepted, consumed once, in order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec

from tests.crash.checker.history import History, Violation
from tests.crash.checker.streams import taken_by
from tests.crash.snapshot import EffectRow

NOTHING = "nothing"
ACCEPTED = "accepted"


def accepted_is_stored(history: History) -> Iterator[Violation]:
    """Find messages that were accepted and are not in the store as they were sent."""
    for flow, lines in history.by_flow.items():
        stored = {row.key: row for row in history.end.messages.get(flow, ())}
        for line in lines:
            if line.kind != "sent" or line.value["delivery"] != ACCEPTED:
                continue
            row = stored.get(f"={line.value['key']}")
            if row is None or msgspec.json.decode(row.body)["text"] != line.value["text"]:
                yield Violation("accepted_is_stored", flow, f"{line.value}, stored is {row}")


def consumed_once(history: History) -> Iterator[Violation]:
    """Find waits with two answers, and messages that answered two waits."""
    for flow, lines in history.by_flow.items():
        answers: defaultdict[str, set[str]] = defaultdict(set)
        takers: defaultdict[str, set[str]] = defaultdict(set)
        for line in lines:
            if line.kind == "received":
                answers[line.effect].add(line.value)
                takers[line.value].add(line.effect)
        for effect, values in answers.items():
            if len(values) > 1:
                yield Violation("consumed_once", flow, f"{effect} got {values}")
        for text, effects in takers.items():
            if text != NOTHING and len(effects) > 1:
                yield Violation("consumed_once", flow, f"{text!r} went to {effects}")


def stored_consumption_agrees(history: History) -> Iterator[Violation]:
    """Find messages marked as consumed that no wait recorded, and the reverse."""
    for flow, rows in history.end.messages.items():
        consumed = Counter(row.body for row in rows if row.consumed)
        refused = Counter(row.body for row in rows if row.consumed and row.is_refusal)
        effects = history.end.effects.get(flow, {}).values()
        recorded = Counter(body_of(row) for row in effects if _consumes(row))
        bodies = {row.position: row.body for row in rows}
        recorded.update(bodies[position] for row in effects for position in taken_by(row))
        # A question that did not pass was refused on the way: nothing but its reply tells of it.
        if recorded - consumed or (consumed - recorded) - refused:
            text = f"consumed {sorted(consumed)}, recorded {sorted(recorded)}"
            yield Violation("stored_consumption_agrees", flow, text)


def _consumes(row: EffectRow) -> bool:
    """Whether an effect took a message out of the inbox: a time-out took none."""
    if row.kind == "cancel":
        return not row.failed  # failed says that the flow's own time-out cancelled it
    return row.type is not None and row.kind in {"message", "child", "lock"}


def body_of(row: EffectRow) -> str:
    """Give the body of the message that an effect consumed; of a lock's, nobody needs it."""
    if row.key.rpartition("/")[2].startswith("question:") and row.type is not None:
        return msgspec.json.encode(msgspec.json.decode(row.body)["value"]).decode()
    return "null" if row.kind == "lock" else row.body


def equal_keys_are_one_message(history: History) -> Iterator[Violation]:
    """Find keys under which two messages were accepted."""
    for flow, lines in history.by_flow.items():
        accepted: set[str] = set()
        for line in lines:
            if line.kind == "sent" and line.value["delivery"] == ACCEPTED:
                key = line.value["key"]
                if key in accepted:
                    yield Violation("equal_keys_are_one_message", flow, f"{key!r}: {line}")
                accepted.add(key)
        keys = [row.key for row in history.end.messages.get(flow, ())]
        if len(keys) != len(set(keys)):
            yield Violation("equal_keys_are_one_message", flow, f"stored: {keys}")


def order_is_kept(history: History) -> Iterator[Violation]:
    """Find waits of one name, one after the other, that got messages in another order.

    Where branches race, a message that a loser held comes back late, behind others.
    """
    for flow, rows in history.end.effects.items():
        if any(row.kind == "race" for row in rows.values()):
            continue
        positions = {row.body: row.position for row in history.end.messages.get(flow, ())}
        names: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for row in rows.values():
            taken = taken_by(row)
            if row.kind == "message" and row.type is not None and body_of(row) in positions:
                taken = [positions[body_of(row)]]
            scope, _, last = row.key.rpartition("/")
            name, _, use = last.partition("#")
            names[f"{scope}/{name}"] += [(int(use or 1), position) for position in taken]
        for name, uses in names.items():
            got = [position for _, position in sorted(uses, key=lambda use: use[0])]
            if got != sorted(got):
                yield Violation("order_is_kept", flow, f"{name}: positions {got}")
