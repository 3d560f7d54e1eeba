"""RIVALS.md: the table, the conditions, and in which mode everybody ran."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from statistics import median

from benchmarks.rivals.conditions import Conditions
from benchmarks.rivals.contest import Turn
from benchmarks.rivals.figures import FAMILIES, OURS, RAW, Comparison, Measured, compare

HEAD = ("what", "unit", "Unbroken", "DBOS", "Absurd", "raw limit", "x DBOS", "x Absurd", "x raw")
MODES = """\
## Who ran how

Each contender is one process (two for the message) with one PostgreSQL connection string, started
anew for each turn on a database of its own, made from a prepared empty one; dropping the last one
makes a checkpoint, so that all turns begin alike. Connections are warmed up first. Every effect
returns the same 50 characters and calls nothing outside. In each round every contender takes a
turn, and the first one of a round is another each time. All are safe against power loss
(`fsync`, `synchronous_commit` and `full_page_writes` are on; a server without is refused).

- **Unbroken**: default settings. 100 callers run a flow each, one after the other. Where
  they sleep they leave memory after ten seconds; the process keeps for later what they held until
  then. *Kept warm*: `suspend_after` of an hour, so that sleepers stay in memory, as they do with
  DBOS. *Suspended at once*: `suspend_after` of zero.
- **DBOS**: its default pool of 20 connections, as its documentation has it, LISTEN/NOTIFY on, an
  executor id for each process, no conductor, no tracing. Workflows are called directly, so that
  no handle is polled. *Async*: coroutines, 100 tasks. *Sync*: plain functions, 100 threads.
- **Absurd**: schema of `absurdctl`, one queue (one for each process where two exchange messages).
  It lets several workers share a process, each with a connection: 4 that claim 25 tasks each for
  short tasks, 16 threads that claim one each for long ones (sync), 4 x 25 (async), the best of what
  was tried; one worker for a lone flow. They poll every 20 ms (5 ms for messages) where speed is
  measured, every 250 ms, its default, where it rests. Tasks are all started and then awaited by
  `fetch_task_result` every 20 ms, because `await_task_result` backs off to a second. Its messages
  are events, emitted in a step.
- **Raw limit**: one asyncpg connection. One flow: a bare INSERT with its COMMIT. Side by side: one
  multi-row INSERT over `unnest` for the next effect of all flows, same bytes. Flows: three such
  statements (insert the flows, insert the effects, update the flows) for every hundred. Message:
  INSERT and NOTIFY in one statement, heard by LISTEN, and the same back.

What is measured: effects from the first one's start to the last one's end, inside the flows; flows
from the first start until the caller has the last result; the message from the moment the flow hits
the ball until it has it back, both ways stored; sleepers from the moment they asked for; memory as
what the process grew by; processor time as what the process itself computed, in user and system
mode, without the server; statements as what it sent in 30 s (Query and Execute messages, BEGIN,
COMMIT and empty ones too), counted by the proxy. A longer way is made by the same proxy, which
delays what is sent to the server; flows side by side then make a fifth of their effects.
"""


def rivals_page(turns: Sequence[Turn], conditions: Conditions) -> str:
    """Write the page."""
    comparisons = compare(turns)
    rounds = len({turn.round for turn in turns})
    lines = [
        "# Beside its rivals",
        "",
        f"By `make bench-rivals`: {_rounds(rounds)}, in each of which everybody takes a turn.",
        f"Load of the machine (15 minutes): {conditions.load}; see Conditions.",
        "",
        "![How many times better](RIVALS.svg)",
        "",
    ]
    for delay in sorted({one.delay_ms for one in comparisons}):
        near = [one for one in comparisons if one.delay_ms == delay]
        lines += _section(delay, near, rounds)
    lines += [
        "Median (lowest..highest) of the rounds, each rival in the mode whose median is best. The",
        "last columns: how many times better Unbroken did in the same round, median; below 1 it",
        "did worse. In brackets our goal, and whether it is reached.",
        "",
        *_every_mode(comparisons),
        *_failures(turns),
        "## Conditions",
        "",
        *_told(conditions),
        "",
        MODES,
    ]
    return "\n".join(lines)


def _section(delay: float, comparisons: Sequence[Comparison], rounds: int) -> list[str]:
    title = f"With {delay:g} ms added to each round trip" if delay else "Beside the server"
    rows = [_cells(comparison, rounds) for comparison in comparisons]
    return [f"## {title}", "", *table([HEAD, *rows]), ""]


def _cells(comparison: Comparison, rounds: int) -> tuple[str, ...]:
    own = max(len(measured.values) for measured in comparison.modes)
    title = comparison.title + (f" ({_rounds(own)})" if own != rounds else "")
    found = (_value(comparison, family) for family in FAMILIES)
    rivals = (_times(comparison, family) for family in FAMILIES if family != OURS)
    return title, comparison.figure.unit, *found, *rivals


def _rounds(count: int) -> str:
    return f"{count} round{'s' if count > 1 else ''}"


def _value(comparison: Comparison, family: str) -> str:
    measured = comparison.best.get(family)
    if measured is None:
        return ""
    mode = measured.mode.removeprefix(family).strip()
    told = spread(measured.values.values()) + (f" {mode}" if mode else "")
    bound = comparison.figure.at_most
    if family == OURS and bound is not None and not comparison.delay_ms:
        return f"{told} [≤ {number(bound)}: {_yes(measured.middle <= bound)}]"
    return told


def _times(comparison: Comparison, family: str) -> str:
    ratios = comparison.times_better(family)
    if not ratios:
        return ""
    reached = comparison.is_goal_reached(family)
    if reached is None:
        return number(median(ratios))
    goal = number(comparison.figure.goals[family])
    return f"{number(median(ratios))} [≥ {goal}: {_yes(reached)}]"


def _yes(reached: bool) -> str:  # noqa: FBT001
    return "yes" if reached else "no"


def _every_mode(comparisons: Sequence[Comparison]) -> list[str]:
    rows = [("what", "added", "unit", "mode", "median (lowest..highest)")]
    for one in comparisons:
        shown = (measured for measured in one.modes if measured.mode not in {RAW, OURS})
        rows += [_mode_row(one, measured) for measured in shown]
    return ["## Every mode", "", *table(rows), ""]


def _mode_row(one: Comparison, measured: Measured) -> tuple[str, str, str, str, str]:
    told = spread(measured.values.values())
    return one.title, f"{one.delay_ms:g} ms", one.figure.unit, measured.mode, told


def _failures(turns: Sequence[Turn]) -> list[str]:
    failed = [turn for turn in turns if turn.error]
    if not failed:
        return []
    lines = [
        f"- {turn.contender}, {turn.work}, {turn.delay_ms:g} ms, {turn.round + 1}: `{turn.error}`"
        for turn in failed
    ]
    return ["## Turns without an answer", "", *lines, ""]


def _told(conditions: Conditions) -> list[str]:
    server = ", ".join(f"{name} {value}" for name, value in conditions.server.items())
    versions = "; ".join(f"{name}: {told}" for name, told in conditions.versions.items())
    return [
        f"- {conditions.date}, {conditions.machine}, {conditions.python} for everybody",
        f"- PostgreSQL on the same machine, over loopback without TLS: {server}",
        f"- {versions}",
        "- Where the load is more than the CPUs, times and rates say how long everybody waited for",
        "  a CPU: then trust first the processor times and the statements, next the ratios.",
    ]


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lay rows out as a table of Markdown, which a terminal shows as well."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *body = rows
    return [
        "| " + " | ".join(map(str.ljust, row, widths)) + " |"
        for row in (head, tuple("-" * width for width in widths), *body)
    ]


def spread(values: Collection[float]) -> str:
    """Write the median, and the extremes where there are several values."""
    middle = number(median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({number(min(values))}..{number(max(values))})"


def number(value: float) -> str:
    """Write a number as short as it may be."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
