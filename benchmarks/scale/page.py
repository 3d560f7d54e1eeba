"""What was measured, as a page: ratios, what became of the crowds, what the database held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import TypeVar

import msgspec

from benchmarks.rivals.page import number, spread, table
from benchmarks.scale.crowds import Drained, Read, Woken
from benchmarks.scale.databases import Filled, gigabytes
from benchmarks.scale.turns import Figure

T = TypeVar("T")
Row = tuple[str, ...]

# A tenth of the messages may take so many times as long as the first tenth.
LINEAR = 1.5


class Crowds(msgspec.Struct, frozen=True):
    """What became of the crowds on one database."""

    timers: Drained
    inboxes: list[Read]
    woken: Woken


class Told(msgspec.Struct, frozen=True):
    """All that one run found out, or several that were added up."""

    filled: Filled
    figures: list[Figure]
    empty: Crowds
    full: Crowds
    conditions: str
    server: dict[str, str]
    load: str


def scale_page(told: Told) -> str:
    """Write the page."""
    filled = told.filled
    server = ", ".join(f"{name} {value}" for name, value in told.server.items())
    return "\n".join(
        [
            "# What history costs",
            "",
            f"By `make bench-scale`. The full database holds {filled.finished:,} finished flows",
            f"and {filled.suspended:,} suspended ones, {gigabytes(filled.bytes)} in all.",
            "",
            *table(ratio_rows(told.figures)),
            "",
            "Milliseconds: median (lowest..highest) of the turns, each the median of its calls;",
            "full / empty: of each turn, then the median.",
            "",
            "## Many at once",
            "",
            *table(crowd_rows(told.empty, told.full)),
            "",
            "- Timers: suspended flows, one process. Early: by the clock of the process when it",
            "  woke, or by the store's when it ended. Twice: the effect behind it ran again.",
            "  Claimed again: a claim that the flow did not need.",
            "- One flow: all messages are in its inbox before it begins. Its tenths are compared.",
            "- One message each: to flows suspended long ago, scattered over the table.",
            "",
            "## How it was filled",
            "",
            f"In {filled.seconds:.0f} s, {filled.indexing:.0f} s of it for the indexes: rows that",
            "the engine wrote, copied by one statement a page, without indexes and without waiting",
            "for the disk; then the very indexes of the migrations, `VACUUM (ANALYZE)` and a",
            "checkpoint on both databases. Every tenth finished flow keeps its one effect; half of",
            "the suspended ones sleep (one effect, the deadline), half wait for a message (one",
            "effect before it). Half of all ids are in order, half are not.",
            "",
            "## Conditions",
            "",
            f"- {told.conditions}",
            f"- load average {told.load}",
            f"- PostgreSQL on the same machine, over loopback without TLS: {server}",
            "",
        ]
    )


def ratio_rows(figures: Sequence[Figure]) -> list[Row]:
    """Lay out what one flow costs on both sides."""
    rows: list[Row] = [("what", "unit", "empty", "full", "full / empty", "goal", "reached")]
    for one in figures:
        ratios, goal, reached = one.ratios, "", ""
        if one.at_most is not None:
            goal = f"≤ {one.at_most}"
            reached = _yes(is_reached=median(ratios) <= one.at_most)
        rows.append(
            (one.what, "ms", *map(spread, (one.empty, one.full, ratios)), goal, reached),
        )
    return rows


def crowd_rows(empty: Crowds, full: Crowds) -> list[Row]:
    """Lay out what became of the crowds on both sides."""
    rows: list[Row] = [("what", "empty", "full", "wanted", "reached")]
    rows += _timer_rows(empty.timers, full.timers)
    for one, other in zip(empty.inboxes, full.inboxes, strict=True):
        rows += _inbox_rows(one, other)
    return rows + _woken_rows(empty.woken, full.woken)


def _timer_rows(empty: Drained, full: Drained) -> list[Row]:
    what, sides = f"{empty.timers:,} timers of one second", (empty, full)
    return [
        _row(f"{what}: ended", sides, lambda one: one.done, exactly=empty.timers),
        _row(f"{what}: woke early", sides, lambda one: one.early, exactly=0),
        _row(f"{what}: ran twice", sides, lambda one: one.twice, exactly=0),
        _row(f"{what}: claimed again", sides, lambda one: one.again),
        _row(f"{what}: s from the first deadline to the last end", sides, lambda one: one.seconds),
        _row(f"{what}: s that half of them were late", sides, lambda one: one.late),
    ]


def _inbox_rows(empty: Read, full: Read) -> list[Row]:
    what, sides = f"{empty.messages:,} messages to one flow ({empty.how})", (empty, full)
    return [
        _row(f"{what}: consumed", sides, lambda one: one.consumed, exactly=empty.messages),
        _row(f"{what}: in order, each once", sides, lambda one: int(one.in_order), exactly=1),
        _row(f"{what}: µs to send one, first tenth", sides, lambda one: one.sent_first),
        _row(f"{what}: µs to send one, last tenth", sides, lambda one: one.sent_last),
        _row(
            f"{what}: last / first tenth",
            sides,
            lambda one: one.sent_last / one.sent_first,
            at_most=LINEAR,
        ),
        _row(f"{what}: s until the first is read", sides, lambda one: one.loading),
        _row(f"{what}: µs to read one, first tenth", sides, lambda one: one.read_first),
        _row(f"{what}: µs to read one, last tenth", sides, lambda one: one.read_last),
        _row(
            f"{what}: last / first tenth",
            sides,
            lambda one: one.read_last / one.read_first,
            at_most=LINEAR,
        ),
    ]


def _woken_rows(empty: Woken, full: Woken) -> list[Row]:
    what, sides = f"one message to each of {empty.flows:,} flows", (empty, full)
    return [
        _row(f"{what}: ended", sides, lambda one: one.done, exactly=empty.flows),
        _row(f"{what}: messages consumed", sides, lambda one: one.consumed, exactly=empty.flows),
        _row(f"{what}: recorded once", sides, lambda one: one.recorded, exactly=empty.flows),
        _row(f"{what}: claimed again", sides, lambda one: one.again),
        _row(f"{what}: s to send", sides, lambda one: one.sending),
        _row(f"{what}: s until all had ended", sides, lambda one: one.seconds),
    ]


def _row(
    what: str,
    sides: tuple[T, T],
    value_of: Callable[[T], float],
    *,
    exactly: int | None = None,
    at_most: float | None = None,
) -> Row:
    values = [value_of(side) for side in sides]
    wanted, reached = "", ""
    if exactly is not None:
        wanted, reached = number(exactly), _yes(is_reached=set(values) == {exactly})
    elif at_most is not None:
        wanted, reached = f"≤ {at_most}", _yes(is_reached=max(values) <= at_most)
    return (what, *map(number, values), wanted, reached)


def _yes(*, is_reached: bool) -> str:
    return "yes" if is_reached else "no"
