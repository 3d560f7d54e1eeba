"""Rules about questions and states: one answer each, and no older state after a newer one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import msgspec

from tests.crash.checker.history import History, Violation


def answer_is_the_stored_one(history: History) -> Iterator[Violation]:
    """Find questions whose users got different answers, wrong ones, or one that is not stored."""
    for flow, lines in history.by_flow.items():
        rows = {row.key: row for row in history.end.messages.get(flow, ())}
        answers: defaultdict[str, set[str]] = defaultdict(set)
        for line in lines:
            if line.kind == "answered":
                key, answer = line.value["key"], line.value["answer"]
                answers[key].add(answer)
                if line.value["expected"] != answer:
                    yield Violation("answer_is_the_stored_one", flow, f"unexpected: {line.value}")
        for key, given in answers.items():
            row = rows.get(f"={key}")
            stored = row.reply if row is not None else None
            if len(given) > 1 or stored is None or not _tells(stored, given):
                text = f"{key!r} got {given}, stored is {stored}"
                yield Violation("answer_is_the_stored_one", flow, text)


def _tells(reply: str, given: set[str]) -> bool:
    """Whether a stored reply is this answer, or a refusal for this reason."""
    value = msgspec.json.decode(reply)
    return (value["message"] if isinstance(value, dict) else value) in given


def state_never_turns_back(history: History) -> Iterator[Violation]:
    """Find flows that showed a lower state after a higher one; each case counts its states up."""
    names = {row.number: name for name, row in history.end.flows.items()}
    shown: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for line in history.lines:
        if line.kind == "published":
            flow = names.get(line.value["flow"], "")
            shown[flow].append((line.at, int(line.value["state"])))
    for death in history.deaths:
        for flow, body in death.stored.states.items():
            shown[flow].append((death.at, int(body)))
    for flow, states in shown.items():
        in_order = [state for _, state in sorted(states)]
        last = history.end.states.get(flow)
        if last is not None:
            in_order.append(int(last))
        if any(before > after for before, after in pairwise(in_order)):
            yield Violation("state_never_turns_back", flow, f"showed {in_order}")
