"""Judges a run: the rules of the crash tests, and those that need to look closer."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tests.crash.checker import check
from tests.crash.checker.history import History
from tests.crash.ledger import Line
from tests.crash.snapshot import Snapshot
from tests.crash.torture.programs import ATTEMPTS, PLACES, Program
from tests.simulation.exemptions import Exemptions
from tests.simulation.judging_leases import begun_after_the_lease
from tests.simulation.judging_programs import RULES, Story
from tests.simulation.world import World
from unbroken.engine.consumed import positions_of
from unbroken.model.records import Effect

TAKES = frozenset({"message", "child", "lock"})
MESSAGES = """
    SELECT f.type || ' ' || f.id, m.flow, m.position, m.key, m.consumed, m.reply_failed
      FROM messages m JOIN flows f ON f.number = m.flow"""


def judged(world: World, programs: dict[str, Program]) -> list[str]:
    """Say which promises were broken."""
    end = world.snapshot()
    story = Story(world, programs, end)
    history = History(
        world.lines,
        end,
        deaths=tuple(world.deaths),
        attempts=ATTEMPTS,
    )
    exemptions = Exemptions(world, programs)
    problems = [
        f"{one.rule}: {one.flow}: {one.text}"
        for one in check(history)
        if not exemptions.is_exempt(one)
    ]
    problems += wrongly_consumed(world.database, story.rerun) + world.network.broken
    problems += begun_after_the_lease(world.lines, world.network.proofs)
    problems += met_behind_a_lock(world.lines) + ended_well_although_cancelled(world.lines, end)
    problems += [problem for rule in RULES for problem in rule(story)]
    return problems


def wrongly_consumed(database: sqlite3.Connection, rerun: frozenset[str]) -> list[str]:
    """Find messages that two effects consumed, or none, and effects whose message is pending.

    A flow that is `rerun` after it failed has forgotten which places it was granted before.
    """
    recorded: defaultdict[int, Counter[int]] = defaultdict(Counter)
    rows = database.execute("SELECT flow, key, kind, body, type, failed, digest FROM effects")
    for flow, key, kind, body, type_, failed, digest in rows:
        if kind == "stream":
            effect = Effect(key, kind, body, type_, failed == 1, digest)
            recorded[flow].update(positions_of(effect))
        elif kind in TAKES and digest is not None and type_ is not None:
            recorded[flow][digest] += 1
    problems: list[str] = []
    for name, flow, position, key, consumed, refused in database.execute(MESSAGES).fetchall():
        times = recorded[flow].pop(position, 0)
        # A cancel is consumed by a record that does not name it; a question that did not pass by
        # its refusal; what a former run consumed (2) by a record that is gone.
        is_unnamed = key == "~cancel" or refused or consumed == 2
        is_unnamed = is_unnamed or (name in rerun and ":lock:" in key.replace("/", ":"))
        if times != bool(consumed) and not (is_unnamed and times == 0):
            problems.append(f"consumed: {times} effects hold {key!r} of flow {flow}: {consumed}")
    for flow, left in recorded.items():
        problems += [f"consumed: flow {flow} holds no message {position}" for position in left]
    return problems


def met_behind_a_lock(lines: Sequence[Line]) -> list[str]:
    """Find blocks behind the lock, or in the room, of which too many were open together."""
    entered: dict[tuple[str, str, str], int] = {}
    left: dict[tuple[str, str, str], int] = {}
    for line in lines:  # a replay passes through again, and has nothing to do behind the lock
        if line.kind in {"entered", "left"}:
            moments = entered if line.kind == "entered" else left
            moments.setdefault((line.value, line.flow, line.effect), line.at)
    return [
        problem
        for place, limit in (("lock", 1), ("room", PLACES))
        for problem in _crowded(
            place,
            limit,
            sorted(
                (at, left.get(block, at), block[1])
                for block, at in entered.items()
                if block[0] == place
            ),
        )
    ]


def _crowded(place: str, limit: int, blocks: list[tuple[int, int, str]]) -> Iterator[str]:
    """A flow that holds a place may enter again, so flows are counted."""
    for number, (begin, _, flow) in enumerate(blocks):
        inside = {other for _, end, other in blocks[:number] if end >= begin} | {flow}
        if len(inside) > limit:
            yield f"locked: {place}: {flow} entered at {begin}, inside were {sorted(inside)}"


def ended_well_although_cancelled(lines: Sequence[Line], end: Snapshot) -> list[str]:
    """Find flows whose cancel was acknowledged and that are done (I43); a restart takes it back."""
    restarted = {line.flow: line.at for line in lines if line.kind == "restarting"}
    return [
        f"cancelled: {line.flow} is done"
        for line in lines
        if line.kind == "cancelled"
        and line.value in {"accepted", "duplicate"}
        and end.flows[line.flow].status == "done"
        and restarted.get(line.flow, 0) < line.at
    ]
