"""Rules about messages: stored when accepted, consumed once, in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import msgspec

from tests.crash.checker.history import History, Violation

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
        consumed = sorted(row.body for row in rows if row.consumed)
        effects = history.end.effects.get(flow, {}).values()
        recorded = sorted(
            row.body for row in effects if row.type is not None and row.kind in {"message", "child"}
        )
        if consumed != recorded:
            text = f"consumed {consumed}, recorded {recorded}"
            yield Violation("stored_consumption_agrees", flow, text)


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
    """Find waits of one name, one after the other, that got messages in another order."""
    for flow, rows in history.end.effects.items():
        positions = {row.body: row.position for row in history.end.messages.get(flow, ())}
        names: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for row in rows.values():
            if row.kind == "message" and row.type is not None and row.body in positions:
                scope, _, last = row.key.rpartition("/")
                name, _, use = last.partition("#")
                names[f"{scope}/{name}"].append((int(use or 1), positions[row.body]))
        for name, uses in names.items():
            got = [position for _, position in sorted(uses)]
            if got != sorted(got):
                yield Violation("order_is_kept", flow, f"{name}: positions {got}")
