"""Queues of locks and semaphores: places are taken at the tail and granted from the head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from tests.stores.differential.model.inboxes import tell
from tests.stores.differential.model.tables import PlaceRow, Tables, is_beneath
from unbroken.model.records import Status
from unbroken.stores.batch import Answer, Appended, Changed, LeavePlace, NewMessage, TakePlace

Granted = tuple[tuple[Appended, NewMessage], ...]


def take_place(tables: Tables, replica: str, part: TakePlace) -> Changed:
    """Queue an owned flow up; a second take changes nothing and tells nothing."""
    number = part.flow.number
    if tables.owned_flow(number, replica, part.incarnation) is None:
        return Changed(Answer.REFUSED)
    if (part.queue, number) in tables.places:
        return Changed(Answer.ACCEPTED)
    place = PlaceRow(part.key, part.limit, holds=False, since=tables.now)
    tables.places[part.queue, number] = place
    return Changed(Answer.ACCEPTED, granted=_grant(tables, replica, part.queue))


def leave_place(tables: Tables, replica: str, part: LeavePlace) -> Changed:
    """Leave a queue: the owner in this incarnation, or an operator for whoever owns the flow."""
    number, incarnation = part.flow.number, part.incarnation
    may = incarnation is None or tables.owned_flow(number, replica, incarnation) is not None
    if not may or (part.queue, number) not in tables.places:
        return Changed(Answer.REFUSED)
    del tables.places[part.queue, number]
    return Changed(Answer.ACCEPTED, granted=_grant(tables, replica, part.queue))


def free_places(tables: Tables, replica: str | None, flows: Sequence[int]) -> Granted:
    """Take flows out of every queue and let the next ones hold their places."""
    left = [place for place in tables.places if place[1] in flows]
    for place in left:
        del tables.places[place]
    return _grant_each(tables, replica, (queue for queue, _ in left))


def leave_with_effects(tables: Tables, flow: int, keys: Sequence[str]) -> None:
    """Take a flow out of the queues whose effects, or what is above them, it forgets."""
    left = [
        (queue, number)
        for (queue, number), place in tables.places.items()
        if number == flow and any(_is_of(place, key) for key in keys)
    ]
    for place in left:
        del tables.places[place]
    _grant_each(tables, None, (queue for queue, _ in left))


def grant_to(tables: Tables, flows: Sequence[int]) -> None:
    """Let flows that are live again hold a place, if it became their turn while they were not."""
    queues = [queue for queue, number in tables.places if number in flows]
    _grant_each(tables, None, queues)


def _is_of(place: PlaceRow, key: str) -> bool:
    _, _, effect = place.key.partition(":")
    return effect == key or is_beneath(key, effect)


def _grant_each(tables: Tables, replica: str | None, queues: Iterable[str]) -> Granted:
    granted: Granted = ()
    for queue in tables.freedom.order(sorted(set(queues))):
        granted += _grant(tables, replica, queue)
    return granted


def _grant(tables: Tables, replica: str | None, queue: str) -> Granted:
    """Give places from the head, as long as the limit of who stands there allows.

    A parked flow keeps its turn, but nobody waits until somebody has repaired it.
    """
    granted: list[tuple[Appended, NewMessage]] = []
    for (name, number), place in list(tables.places.items()):
        flow = tables.flows[number]
        if name != queue or place.holds or flow.status is not Status.LIVE:
            continue
        if place.most <= _holders(tables, queue):
            break
        tables.places[name, number] = replace(place, holds=True, since=tables.now)
        message = NewMessage(place.key, "~granted", "null")
        granted.append((tell(tables, replica, flow.ref, message), message))
    return tuple(granted)


def _holders(tables: Tables, queue: str) -> int:
    return sum(place.holds for (name, _), place in tables.places.items() if name == queue)
