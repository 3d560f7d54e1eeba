"""The world outside of the store: an append-only file, written by the bodies themselves.

One line is one `write` on an O_APPEND descriptor, so it survives SIGKILL and needs no store. A line
may be torn by the signal all the same, where it crosses a page; it never spoils another one. The
monotonic clock is the machine's, so lines of different processes have one order.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tests.crash.kill_points import POINTS
from unbroken import current_flow
from unbroken.engine.scope import SCOPE

PATH = "UNBROKEN_LEDGER"
LONGEST_LINE = 4096
LONGEST_TEXT = 100
# What a body does to the world: a process may be ended before and after each of them.
ACTS = frozenset({"begin", "end", "raise"})


class World(Protocol):
    """A simulated outside world, where nothing is real and nothing is written to a file."""

    def write(self, kind: str, flow: str, effect: str, **more: Any) -> None:
        """Take a line down."""
        ...

    def count(self, name: str) -> int:
        """Count one more under a name and give how many there are."""
        ...


WORLD: ContextVar[World | None] = ContextVar("simulated world", default=None)


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened. `at` is monotonic, `wall` the machine's wall clock; microseconds.

    `flow` is `type id`, `effect` the full key. The kinds: `begin`, `end`, `raise` by a body;
    `started`, `saw`, `interrupted`, `received`, `sleeping`, `slept` by a flow's code;
    `scheduled`, `sent`, `answered`, `result` by who uses the flow; `landed`, `fenced`, `published`,
    `event` by a replica;
    `killed`, `stopped`, `continued` by whoever torments the processes.
    """

    at: int
    wall: int
    pid: int
    kind: str
    flow: str = ""
    effect: str = ""
    incarnation: int = 0
    once: bool = False
    value: Any = None


def write(
    kind: str,
    *,
    flow: str = "",
    effect: str = "",
    incarnation: int = 0,
    once: bool = False,
    value: object = None,
) -> None:
    """Append a line to the ledger of this process's environment, or of the simulated world."""
    world = WORLD.get()
    if world is not None:
        world.write(kind, flow, effect, incarnation=incarnation, once=once, value=value)
        return
    line = Line(
        time.monotonic_ns() // 1000,
        time.time_ns() // 1000,
        os.getpid(),
        kind,
        flow,
        effect,
        incarnation,
        once,
        value,
    )
    text = b"\n" + msgspec.json.encode(line) + b"\n"
    assert len(text) < LONGEST_LINE, "a longer line is torn more easily"
    point = POINTS.before(f"{kind} {effect}") if kind in ACTS else None
    file = os.open(os.environ[PATH], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, text)
    finally:
        os.close(file)
    if point is not None:
        POINTS.after(point)


def note(kind: str, effect: str = "", value: object = None, *, once: bool = False) -> None:
    """Append a line about the running flow."""
    flow = current_flow()
    write(
        kind,
        flow=f"{flow.type} {flow.id}",
        effect=effect,
        incarnation=flow.incarnation,
        once=once,
        value=value,
    )


def key_of_body() -> str:
    """Give the full key of the effect whose body runs."""
    key = SCOPE.get().body_of
    assert key is not None, "this is no body"
    return key


def key_here(name: str) -> str:
    """Give the full key that a first use of the name has here."""
    return SCOPE.get().prefix + name


def short(text: str) -> str:
    """Give a text that fits into a line: itself, or what stands for it."""
    if len(text) <= LONGEST_TEXT:
        return text
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read(path: Path) -> list[Line]:
    """Read all lines that are whole, in the order of time."""
    lines: list[Line] = []
    for text in path.read_bytes().split(b"\n") if path.exists() else ():
        with suppress(msgspec.DecodeError):
            lines.append(msgspec.json.decode(text, type=Line))
    lines.sort(key=lambda line: line.at)
    return lines
