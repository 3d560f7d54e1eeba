"""What a case is: a flow that is killed at each of its store operations, and how it is used."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from unbroken import InitialState

AT_ONCE = timedelta(0)
SHORT = timedelta(milliseconds=15)
LONG = timedelta(minutes=5)

Seen = dict[str, str]


class Paid(msgspec.Struct, frozen=True):
    text: str


class Shipped(msgspec.Struct, frozen=True):
    text: str


class Never(msgspec.Struct, frozen=True):
    text: str


class Sent(msgspec.Struct, frozen=True):
    """A message that the flow's user sends: with its key, after the flow saw an effect."""

    message: Paid | Shipped | Never
    key: str
    after: str | None = None


class Asking(msgspec.Struct, frozen=True):
    """A question that the flow's user asks, with its key; `answer` is the answer, or the reason."""

    message: Paid | Shipped
    key: str
    answer: str


class Case(msgspec.Struct, frozen=True):
    """A flow, and what its user does; results named in `volatile` may differ from run to run.

    `cancelled_after`: the user cancels it once it has seen this effect. `attempts` says how often
    bodies of a name may begin in one incarnation. `exempt` are rules of the checker that this flow
    breaks by what it is, each with its reason beside the case. `initial` is there before it begins;
    `restarts`: its user restarts it for as long as it fails.
    """

    flow: Any
    args: tuple[Any, ...] = ("book",)
    children: tuple[Any, ...] = ()
    messages: tuple[Sent | Asking, ...] = ()
    suspend_after: timedelta = timedelta(seconds=10)
    volatile: tuple[str, ...] = ()
    cancelled_after: str | None = None
    attempts: dict[str, int] = {}
    exempt: tuple[str, ...] = ()
    initial: InitialState | None = None
    restarts: bool = False
