"""Random parts of batches, most of them such as an engine would send, some with stale guards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TypeVar

from tests.stores.differential.hostile import BODIES, KEYS, PREFIXES, TYPES, texts
from tests.stores.differential.model.tables import Age, FlowRow, Tables
from unbroken.model.records import Effect, FlowRef, Kind, Parent, Reply, Status
from unbroken.stores.batch import (
    Acknowledge,
    Also,
    Append,
    Claim,
    Continue,
    Correlate,
    End,
    LeavePlace,
    NewMessage,
    Publish,
    Record,
    Release,
    Retry,
    Start,
    Suspend,
    TakePlace,
)

T = TypeVar("T")
Part = (
    Start
    | Record
    | Publish
    | Append
    | Suspend
    | Release
    | End
    | Retry
    | Continue
    | TakePlace
    | LeavePlace
    | Correlate
    | Acknowledge
)

SECOND = 1_000_000
DELAYS = (0, 0, 1, SECOND, 5 * SECOND, 60 * SECOND, 3600 * SECOND)
# Changes after which a flow may hold no place any more.
LEAVING = frozenset({"end", "retry", "continue"})
# What a flow was that exists no more, or never did.
NOBODY = 9_999_999


class Names:
    """The few names of one sequence, so that everything meets everything.

    Replicas are named after the sequence too: an id of theirs is used once.
    """

    def __init__(self, random: Random, sequence: int) -> None:
        self.types = texts(random, random.choice((2, 3)))
        self.ids = texts(random, random.choice((2, 2, 3)))
        self.replicas = [f"{sequence}:{text}" for text in texts(random, 24)]
        self.queues = texts(random, random.choice((1, 1, 2)))
        self.correlations = texts(random, 2)
        self.keys = random.sample(KEYS, 12)
        self.messages = [*texts(random, 4), "~1:a", "~2:b", "~"]


class Parts:
    """Makes parts for a replica, seeing how the model stands."""

    def __init__(self, random: Random, names: Names, tables: Tables, replica: str) -> None:
        self._random = random
        self._names = names
        self._tables = tables
        self._replica = replica

    # single choices

    def one(self, items: Sequence[T]) -> T:
        """Give one of the items."""
        return self._random.choice(items)

    def some(self, items: Sequence[T], most: int) -> tuple[T, ...]:
        """Give a few of the items, in any order, often none."""
        return tuple(self._random.sample(items, self._random.randint(0, min(most, len(items)))))

    def chance(self, share: float) -> bool:
        """Say yes in so many of all cases."""
        return self._random.random() < share

    def weighted(self, weights: Mapping[str, float]) -> str:
        """Give a name, each one as often as its weight says."""
        return self._random.choices([*weights], [*weights.values()])[0]

    def body(self) -> str:
        """Give a body, most often a short one."""
        return self.one(BODIES) if self.chance(0.3) else str(self._random.randrange(100))

    def due(self) -> int:
        """Give an instant, often one that others have too."""
        return self._tables.now + self.one(DELAYS)

    def flow(self) -> FlowRow | None:
        """Give a flow, most often one that the replica owns; None if there is none to give."""
        rows = list(self._tables.flows.values())
        own = [row for row in rows if row.owner == self._replica]
        if own and self.chance(0.9):
            return self.one(own)
        return self.one(rows) if rows and (own or self.chance(0.3)) else None

    def incarnation(self, row: FlowRow) -> int:
        """Give a flow's incarnation, sometimes a stale one."""
        return row.incarnation if self.chance(0.9) else row.incarnation + self.one((-1, 1))

    def keys_of(self, row: FlowRow, most: int = 2) -> tuple[str, ...]:
        """Give keys that a flow has recorded, or might."""
        known = self._tables.keys_of(row.ref.number)
        return self.some(known or self._names.keys[:4], most)

    def keys_above_places(self, row: FlowRow) -> tuple[str, ...]:
        """Give keys of locks at which a flow stands, or of what is above them."""
        places = self._tables.places.items()
        keys = [
            place.key.partition(":")[2] for (_, number), place in places if number == row.ref.number
        ]
        above = [key.partition(".")[0].partition("/")[0] for key in keys]
        return self.some(sorted({*keys, *above}), 1)

    def positions_of(self, row: FlowRow, age: Age, most: int = 2) -> tuple[int, ...]:
        """Give positions of pending or consumed messages, sometimes one that nobody has."""
        mails = self._tables.mails_of(row.ref.number)
        places = [one.message.position for one in mails if one.age is age]
        found = self.some(places, most) or self.some(places, most)
        return (*found, NOBODY) if self.chance(0.03) else found

    def reference(self) -> FlowRef:
        """Give a flow that exists, or one that nobody ever started."""
        row = None if self.chance(0.03) else self.flow()
        return FlowRef(NOBODY, self.one(self._names.types), "?") if row is None else row.ref

    # parts

    def message(self) -> NewMessage:
        return NewMessage(self.one(self._names.messages), self.one(TYPES) or "t", self.body())

    def messages(self, most: int) -> tuple[NewMessage, ...]:
        return tuple(self.message() for _ in range(self._random.randint(0, most)))

    def effect(self, incarnation: int) -> Effect:
        digest = self.one((None, None, 1, 2**63 - 1, -(2**63)))
        kind = self.one([*Kind, Kind.CAPTURE, Kind.CANCEL, Kind.BEGUN])
        return Effect(
            self.one(self._names.keys),
            kind.value,
            self.body(),
            self.one(TYPES),
            self.chance(0.3),
            digest,
            self.one((incarnation, incarnation, 0)),
        )

    def start(self) -> Start:
        names = self._names
        type_, others = self.one(names.types), names.types
        parent = None
        if self.chance(0.5):
            above = self.reference()
            parent = Parent(above, f"~{self.one((1, 1, 2))}:{self.one(names.keys)}")
        return Start(
            type_,
            self.one(names.ids),
            self.one(("{}", "{}", self.body())),
            self.due() if self.chance(0.4) else None,
            self.chance(0.6),
            parent,
            self.some([one for one in others if one != type_], 2) if self.chance(0.3) else (),
            tuple(self.effect(5) for _ in range(self.one((0, 0, 2)))),
            self.messages(3) if self.chance(0.3) else (),
            self.one((1, 1, 7)),
            self.one((0, 1, 12)),
        )

    def record(self) -> Record | None:
        row = self.flow()
        if row is None:
            return None
        incarnation = self.incarnation(row)
        return Record(
            row.ref.number,
            incarnation,
            self.effect(incarnation),
            self.positions_of(row, Age.PENDING),
            self.chance(0.2),
            self.also(row) if self.chance(0.25) else None,
        )

    def also(self, row: FlowRow) -> Also:
        answers = self.positions_of(row, Age.CONSUMED, 1) or self.positions_of(row, Age.PENDING, 1)
        reply = Reply(self.body(), self.one(TYPES), self.chance(0.3))
        return Also(
            self.some(PREFIXES, 2) if self.chance(0.5) else (),
            self.keys_of(row),
            self.positions_of(row, Age.CONSUMED),
            answers[0] if answers else None,
            reply if answers else None,
        )

    def publish(self) -> Publish | None:
        row = self.flow()
        if row is None:
            return None
        return Publish(row.ref.number, self.incarnation(row), self.body(), self.one(TYPES))

    def append(self) -> Append:
        type_, id_ = self.one(self._names.types), self.one(self._names.ids)
        if (row := self.flow()) and self.chance(0.7):
            type_, id_ = row.ref.type, row.ref.id
        if self.chance(0.12):
            return Append(type_, id_, (NewMessage("~cancel", "~cancel", "null"),), cancels=True)
        return Append(type_, id_, (self.message(), *self.messages(2)))

    def claim(self) -> Claim:
        tables = self._tables
        owners = sorted({row.owner for row in tables.flows.values() if row.owner is not None})
        dead = [owner for owner in owners if owner not in tables.replicas]
        if self.chance(0.3):
            dead += [self.one([*tables.replicas, "?"])]
        return Claim(
            tuple(self._names.types) if self.chance(0.8) else (self.one(self._names.types),),
            self.one((1, 2, 3, 10, 10)),
            tuple(dict.fromkeys(dead)) if self.chance(0.9) else (),
            self.one((0, 1, 1, 2)),
            self.one((2, 3, 3, 5)),
            "poison \u2620",
        )

    def change(self, kind: str) -> Part | None:
        """Give a change of a flow that the replica owns, or is mistaken about."""
        if kind == "end" and self.chance(0.2):
            row = self._waiting() or self.flow()
        elif kind == "leave place" or (kind in LEAVING and self.chance(0.4)):
            row = self._queued()
        else:
            row = self.flow()
        if row is None:
            return None
        makers: Mapping[str, Callable[[FlowRow], Part]] = {
            "suspend": self._suspend,
            "release": lambda row: Release(row.ref, self.incarnation(row)),
            "end": self._end,
            "retry": self._retry,
            "continue": self._continue,
            "take place": self._take_place,
            "leave place": self._leave_place,
            "correlate": self._correlate,
            "acknowledge": self._acknowledge,
        }
        return makers[kind](row)

    def _waiting(self) -> FlowRow | None:
        """Give an own flow that waits for its turn in a queue."""
        places, flows = self._tables.places, self._tables.flows
        rows = [flows[number] for (_, number), place in places.items() if not place.holds]
        own = [row for row in rows if row.owner == self._replica]
        return self.one(own) if own else None

    def _queued(self) -> FlowRow | None:
        """Give a flow that stands in a queue, if there is one; rather one for which others wait."""
        tables = self._tables
        waited_for = {queue for (queue, _), place in tables.places.items() if not place.holds}
        blocking = [
            at for at, place in tables.places.items() if place.holds and at[0] in waited_for
        ]
        numbers = {number for _, number in blocking or tables.places}
        rows = [tables.flows[number] for number in sorted(numbers)]
        own = [row for row in rows if row.owner == self._replica]
        return self.one(own or rows) if rows else None

    def _suspend(self, row: FlowRow) -> Suspend:
        seen = row.inbox if self.chance(0.8) else max(0, row.inbox + self.one((-1, 1)))
        due_at = self.due() if self.chance(0.6) else None
        return Suspend(row.ref, self.incarnation(row), seen, due_at)

    def _acknowledge(self, row: FlowRow) -> Acknowledge:
        inbox = max(0, row.inbox + self.one((-2, -1, 0, 0, 0, 1)))
        return Acknowledge(row.ref, self.incarnation(row), inbox)

    def _end(self, row: FlowRow) -> End:
        ends = (Status.DONE, Status.DONE, Status.FAILED, Status.CANCELLED, Status.PARKED)
        status = self.one(ends)
        if self._stands_in_a_queue(row) and self.chance(0.4):
            status = Status.PARKED
        incarnation, error = self.incarnation(row), self.body()
        if status is Status.PARKED:
            return End(row.ref, incarnation, status, error=error, mendable=self.chance(0.6))
        return End(
            row.ref,
            incarnation,
            status,
            self.body() if status is Status.DONE else None,
            self.one(TYPES) if status is Status.DONE else None,
            error if status is not Status.DONE else None,
            self._known_parents(row),
            NewMessage("", "~ended", self.body()),
            self.keys_of(row),
            frees=self._frees(row),
            restores=self.positions_of(row, Age.CONSUMED),
        )

    def _known_parents(self, row: FlowRow) -> tuple[Parent, ...]:
        """Give the parents that the owner knows of, sometimes in another order or not all."""
        known = list(row.parents)
        self._random.shuffle(known)
        if known and self.chance(0.1):
            known.pop()
        elif self.chance(0.05):
            known.append(Parent(self.reference(), "~1:unknown"))
        return tuple(known)

    def _frees(self, row: FlowRow) -> bool:
        return self._stands_in_a_queue(row) or self.chance(0.2)

    def _stands_in_a_queue(self, row: FlowRow) -> bool:
        return any(number == row.ref.number for _, number in self._tables.places)

    def _retry(self, row: FlowRow) -> Retry:
        return Retry(
            row.ref,
            self.incarnation(row),
            self.body(),
            self.due(),
            self.keys_of(row),
            self._frees(row),
            self.positions_of(row, Age.CONSUMED),
        )

    def _continue(self, row: FlowRow) -> Continue:
        code = self.one((1, 2))
        return Continue(row.ref, self.incarnation(row), self.body(), code, self._frees(row))

    def _take_place(self, row: FlowRow) -> TakePlace:
        queue, incarnation = self.one(self._names.queues), self.incarnation(row)
        key = f"~{incarnation}:{self.one(self._names.keys)}"
        return TakePlace(row.ref, incarnation, queue, key, self.one((1, 1, 1, 2)))

    def _leave_place(self, row: FlowRow) -> LeavePlace:
        places = [queue for queue, number in self._tables.places if number == row.ref.number]
        queue = self.one(places) if places else self.one(self._names.queues)
        incarnation = None if self.chance(0.2) else self.incarnation(row)
        return LeavePlace(row.ref, incarnation, queue)

    def _correlate(self, row: FlowRow) -> Correlate:
        correlation = self.one(self._names.correlations)
        return Correlate(row.ref, self.incarnation(row), correlation, self.chance(0.3))
