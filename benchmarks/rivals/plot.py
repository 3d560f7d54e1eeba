"""The plot: for each figure, how many times better or worse than Unbroken everybody did.

A point for each contender on a logarithmic axis; better is to the right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from statistics import median

from benchmarks.rivals.contest import Turn
from benchmarks.rivals.figures import FAMILIES, OURS, RAW, Comparison, compare
from benchmarks.rivals.page import number

COLOURS = {OURS: "#0b6e4f", "DBOS": "#c2410c", "Absurd": "#1d4ed8", RAW: "#6b7280"}
WIDTH, LEFT, RIGHT, TOP, ROW = 1020, 420, 40, 64, 46
MARGIN = 24  # for a label at the left end
INK, GRID = "#1f2937", "#e5e7eb"


def drawing(turns: Sequence[Turn]) -> str:
    """Draw what was compared, as SVG."""
    rows = [one for one in compare(turns) if OURS in one.best]
    reach = _reach(rows)
    height = TOP + ROW * len(rows) + 40
    frame = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
    parts = [
        f'<svg {frame} font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        *_legend(),
        *_grid(reach, height),
    ]
    for index, row in enumerate(rows):
        parts += _row(row, TOP + ROW * index + ROW // 2, reach)
    return "\n".join([*parts, "</svg>", ""])


def standing(comparison: Comparison, family: str) -> float | None:
    """Give how many times better than Unbroken a family did; None where it was not measured."""
    if family == OURS:
        return 1.0
    ratios = comparison.times_better(family)
    return 1 / median(ratios) if ratios else None


def _reach(rows: Sequence[Comparison]) -> tuple[int, int]:
    found = [standing(row, family) for row in rows for family in FAMILIES]
    powers = [math.log10(one) for one in found if one is not None] or [0.0]
    return math.floor(min(*powers, -1)), math.ceil(max(*powers, 1))


def _across(times: float, reach: tuple[int, int]) -> float:
    low, high = reach
    begin = LEFT + MARGIN
    return begin + (WIDTH - begin - RIGHT) * (math.log10(times) - low) / (high - low)


def _legend() -> list[str]:
    parts = [_text(16, 24, "Times as good as Unbroken, median of the pairs; right is better", 600)]
    for index, family in enumerate(FAMILIES):
        x = 500 + 110 * index
        parts.append(f'<circle cx="{x}" cy="20" r="6" fill="{COLOURS[family]}"/>')
        parts.append(_text(x + 12, 24, family))
    return parts


def _grid(reach: tuple[int, int], height: int) -> list[str]:
    parts: list[str] = []
    for power in range(reach[0], reach[1] + 1):
        x = _across(10**power, reach)
        stroke = f'stroke="{INK if power == 0 else GRID}"'
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - 34}" {stroke}/>'
        )
        parts.append(_text(x, height - 16, f"{10**power:,g}", anchor="middle"))
    return parts


def _row(row: Comparison, y: int, reach: tuple[int, int]) -> list[str]:
    near = f", {row.delay_ms:g} ms away" if row.delay_ms else ""
    parts = [_text(LEFT - 12, y - 2, row.title + near, anchor="end")]
    parts.append(_text(LEFT - 12, y + 13, row.figure.unit, anchor="end", colour="#6b7280"))
    for family in FAMILIES:
        times = standing(row, family)
        if times is None:
            continue
        x = _across(times, reach)
        value = number(row.best[family].middle)
        title = f"<title>{escape(family)}: {value} {escape(row.figure.unit)}</title>"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y}" r="6" fill="{COLOURS[family]}">{title}</circle>'
        )
        up = -10 if family in {OURS, "Absurd"} else 20
        parts.append(_text(x, y + up, value, anchor="middle", colour=COLOURS[family]))
    return parts


def _text(
    x: float, y: float, text: str, weight: int = 400, *, anchor: str = "start", colour: str = INK
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )
