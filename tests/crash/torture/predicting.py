"""A pure model of how each program ends, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from tests.crash.torture.acts import COMMON, GIVEN, Act, Program

REFUSED = "tests.crash.bodies:Refused"
INTERRUPTED = "interrupted"
# What says of itself only that it was passed.
PASSED = frozenset(
    (
        *("sleep", "ping", "maybe", "now", "stream", "until", "letter", "question"),
        *("postpone", "suspend", "added", "removed", "moved", "patched", "swallow", "tidy"),
        "sown",
    )
)


CANCELLED = {"cancelled": True}


def expected(program: Program, id: str = "", cancelled: Container[str] = ()) -> Any:
    """Say how a program ends if nothing is interrupted; `cancelled` are ids of its children."""
    last = program[-1] if program else Act("", "")
    match last.kind:
        case "fail":
            return {"error": f"{REFUSED}: {last.text}"}
        case "never":
            return CANCELLED
        case "anew":
            return expected(last.parts[0], id, cancelled)
        case _:
            return [_expected(act, id, cancelled) for act in program]


def _expected(act: Act, id: str, cancelled: Container[str]) -> Any:
    match act.kind:
        case kind if kind in PASSED:
            return act.kind
        case "race" | "lock" | "room":
            return expected(act.parts[0])
        case "child":
            child = f"{id}/{act.text}"
            return CANCELLED if child in cancelled else expected(act.parts[0], child, cancelled)
        case "common":
            return expected(COMMON)
        case "branches":
            return [expected(part, id, cancelled) for part in act.parts]
        case _:
            return _text_of(act)


def _text_of(act: Act) -> str:
    match act.kind:
        case "refuse":
            return f"Refused: {act.text}"
        case "saga":
            return "undone"
        case "nested":
            return f"{act.text}!!"
        case "preset":
            return (f"{GIVEN} {act.text}", f"Refused: {GIVEN} {act.text}", INTERRUPTED)[
                act.milliseconds % 3
            ]
        case _:
            return f"{act.text}!"
