"""What was measured, as a table: medians, spread, ratio to the raw limit, goal."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.raw import PRAGMAS, STATEMENTS

HEAD = ("what", "unit", "ours", "raw limit", "ratio", "goal", "reached")


class Goal(msgspec.Struct, frozen=True):
    """A bound for the ratio to the raw limit, or for the figure itself."""

    at_least: float | None = None
    at_most: float | None = None
    of_ratio: bool = True

    def is_reached(self, figure: float) -> bool:
        """Whether a figure keeps to the bound."""
        return (self.at_least is None or figure >= self.at_least) and (
            self.at_most is None or figure <= self.at_most
        )

    def __str__(self) -> str:
        sign, bound = ("≥", self.at_least) if self.at_most is None else ("≤", self.at_most)
        return f"{sign} {_number(bound or 0)}{' x raw' if self.of_ratio else ''}"


class Line(msgspec.Struct, frozen=True):
    """One figure: a value for each turn, and for each turn of the raw limit beside it."""

    what: str
    unit: str
    ours: Sequence[float]
    raw: Sequence[float] = ()
    goal: Goal | None = None
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """Ours over raw, pair by pair."""
        return [ours / raw for ours, raw in zip(self.ours, self.raw, strict=False)]

    def cells(self) -> tuple[str, ...]:
        """Give the columns of the table."""
        ratios = self.ratios
        goal, reached = "", ""
        if self.goal is not None:
            judged = ratios if self.goal.of_ratio else self.ours
            goal, reached = str(self.goal), "yes" if self.goal.is_reached(median(judged)) else "no"
        return self.what, self.unit, *map(_spread, (self.ours, self.raw, ratios)), goal, reached


def table(lines: Sequence[Line]) -> list[str]:
    """Lay the lines out as a table of Markdown, which a terminal shows as well."""
    rows = [HEAD, *(line.cells() for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    laid = [
        "| " + " | ".join(map(str.ljust, row, widths)) + " |"
        for row in (rows[0], ["-" * width for width in widths], *rows[1:])
    ]
    notes = [f"- {line.what}: {line.note}" for line in lines if line.note]
    return [
        *laid,
        "",
        "Median (lowest..highest) of the turns; ratio: ours to raw, of each pair of turns.",
        "",
        *notes,
    ]


def results_page(lines: Sequence[Line], pairs: int) -> str:
    """Write the table with the conditions it was measured under, and the SQL of the raw limit."""
    statements = [f"{statement};" for statement in STATEMENTS.values()]
    return "\n".join(
        [
            "# What was measured",
            "",
            f"By `make bench`, {conditions(pairs)}.",
            "",
            *table(lines),
            "",
            "## The raw limit",
            "",
            "One plain `sqlite3` connection in one thread of a fresh process writes the very rows",
            "that Unbroken wrote the turn before, into the same tables (without the secondary",
            "indexes), with the same pragmas and as many rows to a transaction:",
            "",
            "```sql",
            *(f"{pragma};" for pragma in PRAGMAS),
            "BEGIN IMMEDIATE; -- one of these for each row, then COMMIT",
            *statements,
            "```",
            "",
        ]
    )


def conditions(pairs: int) -> str:
    """Say where and when, without naming the machine."""
    return ", ".join(
        (
            f"{os.cpu_count()} CPUs",
            f"{platform.system()} {platform.machine()}",
            f"{platform.python_implementation()} {platform.python_version()}",
            f"SQLite {sqlite3.sqlite_version}",
            f"{pairs} pairs of turns",
            f"load {os.getloadavg()[1]:.1f} over the last 5 minutes",
            f"{datetime.now(UTC):%Y-%m-%d}",
            f"commit {_commit()}",
        )
    )


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        told = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.stdout.strip().replace("-dirty", " and changes")


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    middle = _number(median(values))
    return (
        middle if len(values) == 1 else f"{middle} ({_number(min(values))}..{_number(max(values))})"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
