"""Rules about locks and semaphores: no more holders than allowed, and none that has ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from tests.crash.checker.history import FINAL, History, Violation
from tests.crash.snapshot import PlaceRow, Snapshot

GUARDED = "guarded"
ACTS = frozenset({"begin", "end"})


def holders_keep_to_the_limit(history: History) -> Iterator[Violation]:
    """Find queues in which more flows hold a place than the most generous of them allows."""
    for snapshot in _snapshots(history):
        held: defaultdict[str, list[PlaceRow]] = defaultdict(list)
        for place in snapshot.places:
            if place.held:
                held[place.queue].append(place)
        for queue, places in held.items():
            if len(places) > max(place.limit for place in places):
                text = f"{queue!r} is held by {[place.flow for place in places]}"
                yield Violation("holders_keep_to_the_limit", places[-1].flow, text)


def ended_stands_in_no_queue(history: History) -> Iterator[Violation]:
    """Find flows that have ended and still hold a place or wait for one."""
    for snapshot in _snapshots(history):
        for place in snapshot.places:
            row = snapshot.flows.get(place.flow)
            if row is None or row.status in FINAL:
                yield Violation("ended_stands_in_no_queue", place.flow, str(place))


def guarded_bodies_do_not_meet(history: History) -> Iterator[Violation]:
    """Find flows whose guarded bodies, all of one block behind one lock, ran among another's."""
    spans: list[tuple[int, int, str]] = []
    for flow, lines in history.by_flow.items():
        acts = [line.at for line in lines if line.kind in ACTS and _is_guarded(line.effect)]
        if acts:
            spans.append((min(acts), max(acts), flow))
    spans.sort()
    for (_, end, flow), (begin, _, other) in pairwise(spans):
        if begin <= end:
            text = f"began at {begin}, while {flow} was at it until {end}"
            yield Violation("guarded_bodies_do_not_meet", other, text)


def _is_guarded(effect: str) -> bool:
    return effect.rpartition("/")[2].startswith(GUARDED)


def _snapshots(history: History) -> list[Snapshot]:
    return [history.end, *(death.stored for death in history.deaths)]
