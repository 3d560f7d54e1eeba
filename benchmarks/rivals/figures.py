"""From turns to figures: medians, the best mode of each rival, ratios pair by pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.rivals.contest import SLEEPERS, Turn
from benchmarks.rivals.work import Answer

OURS = "Unbroken"
RAW = "raw limit"
FAMILIES = (OURS, "DBOS", "Absurd", RAW)
Sizes = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """Something to compare: which work shows it, in which unit, and whether more is better."""

    work: str
    what: str  # with sizes by name, as in "one flow of {effects} effects"
    unit: str
    value: Callable[[Answer, Sizes], float]
    more_is_better: bool
    # Our goals: at least so many times better than a rival, or the figure itself at most so much.
    goals: Mapping[str, float] = field(default_factory=dict[str, float])
    at_most: float | None = None


FIGURES = (
    Figure(
        "flows",
        "{flows:,} flows of one effect, started and awaited",
        "flows/s",
        lambda answer, sizes: sizes["flows"] / answer["seconds"],
        more_is_better=True,
        goals={"DBOS": 30, "Absurd": 10},
    ),
    Figure(
        "flows",
        "processor time for each of these flows",
        "µs",
        lambda answer, sizes: answer["cpu"] / sizes["flows"] * 1e6,
        more_is_better=False,
    ),
    Figure(
        "lone",
        "one flow of {effects} effects, each",
        "ms",
        lambda answer, sizes: answer["seconds"] / sizes["effects"] * 1e3,
        more_is_better=False,
        goals={RAW: 1 / 1.5},
    ),
    Figure(
        "many",
        "{side_by_side} flows x {effects} effects",
        "effects/s",
        lambda answer, sizes: sizes["side_by_side"] * sizes["effects"] / answer["seconds"],
        more_is_better=True,
        goals={"DBOS": 100, "Absurd": 30},
    ),
    Figure(
        "many",
        "processor time for each of these effects",
        "µs",
        lambda answer, sizes: answer["cpu"] / (sizes["side_by_side"] * sizes["effects"]) * 1e6,
        more_is_better=False,
    ),
    Figure(
        "message",
        "message to another process's flow and back",
        "ms",
        lambda answer, _: answer["median"] * 1e3,
        more_is_better=False,
        at_most=20,
    ),
    Figure(
        "statements",
        "statements that an effect of a lone flow costs",
        "statements",
        lambda answer, _: answer["statements"],
        more_is_better=False,
    ),
    Figure(
        "sleepers",
        "{sleepers:,} sleepers wake at once: all go on after",
        "s",
        lambda answer, _: answer["seconds"],
        more_is_better=False,
    ),
    Figure(
        "sleepers",
        "memory of a sleeping flow, over {sleepers:,}",
        "bytes",
        lambda answer, _: answer["bytes"],
        more_is_better=False,
        at_most=4.3 * 1024,
    ),
    Figure(
        "idle",
        "statements of a process while {idle} flows sleep",
        "statements/s",
        lambda answer, _: answer["statements"],
        more_is_better=False,
        at_most=1,
    ),
)


@dataclass(frozen=True)
class Measured:
    """One mode of a contender in one figure: a value for each round."""

    mode: str
    values: Mapping[int, float]

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.values.values())


@dataclass(frozen=True)
class Comparison:
    """One figure at one distance from the server: the best mode of each family."""

    figure: Figure
    delay_ms: float
    sizes: Sizes
    modes: Sequence[Measured]
    best: Mapping[str, Measured]

    @property
    def title(self) -> str:
        """What was compared, with its sizes."""
        return self.figure.what.format_map(self.sizes)

    def times_better(self, family: str) -> list[float]:
        """Give how many times better we did than a family, round by round."""
        if family not in self.best or OURS not in self.best:
            return []
        ours, theirs = self.best[OURS].values, self.best[family].values
        ratios = [
            (ours[number], theirs[number])
            for number in sorted(ours)
            if number in theirs and ours[number] > 0 and theirs[number] > 0
        ]
        if self.figure.more_is_better:
            return [our / their for our, their in ratios]
        return [their / our for our, their in ratios]

    def is_goal_reached(self, family: str) -> bool | None:
        """Whether we are as much better as we want to be; None without a goal or a figure."""
        goal, ratios = self.figure.goals.get(family), self.times_better(family)
        if goal is None or not ratios or self.delay_ms:
            return None
        return median(ratios) >= goal


def compare(turns: Sequence[Turn]) -> list[Comparison]:
    """Give every comparison that the turns allow, the nearest server first."""
    delays = sorted({turn.delay_ms for turn in turns})
    compared = (_compare(figure, delay, turns) for delay in delays for figure in FIGURES)
    return [one for one in compared if one is not None]


def _compare(figure: Figure, delay: float, turns: Sequence[Turn]) -> Comparison | None:
    works = SLEEPERS if figure.work == "sleepers" else (figure.work,)
    found = [
        turn for turn in turns if turn.work in works and turn.delay_ms == delay and not turn.error
    ]
    if not found:
        return None
    by_mode: dict[tuple[str, str], dict[int, float]] = {}
    for turn in found:
        values = by_mode.setdefault((turn.family, turn.contender), {})
        values[turn.round] = figure.value(turn.answer, turn.sizes)
    best: dict[str, Measured] = {}
    modes: list[Measured] = []
    for (family, mode), values in by_mode.items():
        measured = Measured(mode, values)
        modes.append(measured)
        # The defaults are what we are judged by; of a rival, whatever does best.
        if family == OURS and mode != OURS:
            continue
        if family not in best or _is_better(figure, measured, best[family]):
            best[family] = measured
    return Comparison(figure, delay, found[0].sizes, modes, best)


def _is_better(figure: Figure, one: Measured, other: Measured) -> bool:
    return one.middle > other.middle if figure.more_is_better else one.middle < other.middle
