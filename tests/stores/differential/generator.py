"""Writes random sequences of requests. A seed gives the same sequence for stores that agree.

What is assumed of those who use a store, and what it therefore need not stand up to:

- batches are what the engine's own committer makes of a queue of writes (`engine/batching.py`): a
  flow's row changes at most once, a claim and what may grant a place are alone;
- an id of a replica is registered once; types of a claim and of a poll are different ones;
- ids and keys are not empty and hold no NUL; nothing but the parameter of a start is tried with
  half a character, and no number but a digest with more than 64 bits;
- a batch records nothing beneath a key after the record that clears what is beneath it;
- what is consumed was pending, what is restored or answered was consumed since the flow last went
  on anew (or is a position that does not exist);
- who stands in a queue frees its places when it ends or goes on; parked ends tell nobody, have no
  result and nothing to restore;
- a claim parks from two losses on; time does not run back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from random import Random
from typing import Any, cast

from msgspec.structs import replace

from tests.stores.differential.model.store import Model
from tests.stores.differential.model.tables import Tables, is_beneath
from tests.stores.differential.parts import NOBODY, SECOND, Names, Part, Parts
from tests.stores.differential.steps import (
    Amend,
    Beat,
    Commit,
    DeleteEnded,
    DeleteFlow,
    Load,
    Look,
    Mend,
    Page,
    Reap,
    Register,
    Request,
    Settle,
    Wait,
)
from unbroken.engine.batching import AnyEntry, Entry, RecordEntry, assemble, to_batch
from unbroken.model.records import Effect, Status
from unbroken.stores.batch import Batch, Record, Start
from unbroken.stores.store import Amendment, Question

LENGTH = 60
MOST_REPLICAS = 3

REQUESTS = {
    "wait": 7,
    "register": 3,
    "die": 3,
    "beat": 2,
    "settle": 1,
    "reap": 4,
    "commit": 60,
    "claim": 18,
    "look": 5,
    "load": 3,
    "page": 2,
    "amend": 8,
    "mend": 5,
    "delete ended": 4,
    "delete flow": 4,
}

PARTS = {
    "start": 16,
    "record": 30,
    "publish": 5,
    "append": 18,
    "suspend": 9,
    "release": 3,
    "end": 14,
    "retry": 4,
    "continue": 4,
    "take place": 9,
    "leave place": 8,
    "correlate": 5,
    "acknowledge": 5,
}

# What a sequence may be about: these happen so many times as often.
THEMES = (
    {},
    {"take place": 9, "leave place": 4, "end": 2, "retry": 2, "release": 3, "amend": 3},
    {"die": 4, "register": 4, "claim": 2, "release": 2, "record": 0.3, "reap": 3},
    {"append": 3, "suspend": 2, "record": 1, "continue": 5, "acknowledge": 2, "claim": 2},
    {"amend": 2, "mend": 3, "delete ended": 2, "delete flow": 2, "end": 3, "retry": 2},
    {"start": 2, "end": 4, "record": 2, "claim": 2, "amend": 4},
    {"record": 4, "release": 2, "claim": 2},
    {"register": 5, "wait": 3, "reap": 5, "claim": 2},
)


class Generator:
    """The author of one sequence."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._names = Names(self._random, seed)
        self._unused = list(self._names.replicas)
        theme = self._random.choice(THEMES)
        self._requests = self._moody(REQUESTS, theme, spared="commit")
        self._parts = self._moody(PARTS, theme, spared="start")

    def request(self, model: Model, number: int) -> Request | Wait | None:
        """Write the next request."""
        tables = model.tables
        if not tables.replicas and not self._unused:
            return None
        if not tables.replicas or number == 0:
            return self._register()
        kind = self._random.choices([*self._requests], [*self._requests.values()])[0]
        if not _has_work_for(kind, tables) and self._random.random() < 0.75:
            kind = "commit"
        return self._request(kind, tables)

    def _moody(
        self, weights: Mapping[str, float], theme: Mapping[str, float], *, spared: str
    ) -> dict[str, float]:
        """Let each sequence do some things often and others not at all."""
        moods = (0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 3.0)
        picked = {name: self._random.choice(moods) for name in weights}
        fixed: Mapping[str, float] = {spared: 1.0, **theme}
        return {name: weights[name] * fixed.get(name, picked[name]) for name in weights}

    def _register(self) -> Register:
        return Register(self._unused.pop(), self._random.choice((0, 10 * SECOND, 300 * SECOND)))

    def _replica(self, tables: Tables) -> str:
        """Give a replica, most often one that runs flows."""
        owners = {row.owner for row in tables.flows.values()}
        busy = [replica for replica in tables.replicas if replica in owners]
        alive = busy if busy and self._random.random() < 0.8 else [*tables.replicas]
        return self._random.choice(alive)

    def _request(self, kind: str, tables: Tables) -> Request | Wait:
        random, names = self._random, self._names
        replica = self._replica(tables)
        anyone = replica if random.random() < 0.9 else random.choice(names.replicas)
        parts = Parts(random, names, tables, replica)
        match kind:
            case "register" if self._unused and len(tables.replicas) < MOST_REPLICAS:
                return self._register()
            case "wait":
                return Wait(random.choice((1, SECOND, 5 * SECOND, 30 * SECOND, 120 * SECOND)))
            case "die":
                return Commit(Batch(replica, 0, 0, last=True))
            case "claim":
                return Commit(self._fenced(Batch(replica, 0, 0, claim=parts.claim())))
            case "beat" | "settle" | "reap":
                return self._keep_alive(kind, anyone)
            case "look" | "load" | "page":
                return self._read(kind, tables, parts, anyone)
            case "amend" | "mend" | "delete ended" | "delete flow":
                return self._operate(kind, tables, parts)
            case _:
                return Commit(self._batch(parts, replica))

    def _keep_alive(self, kind: str, replica: str) -> Request:
        random = self._random
        match kind:
            case "beat":
                return Beat(replica)
            case "settle":
                return Settle(replica, random.choice((-1, 0, 1, 1, 2)))
            case _:
                return Reap(replica, random.choice((0, SECOND, 20 * SECOND)))

    def _operate(self, kind: str, tables: Tables, parts: Parts) -> Request:
        match kind:
            case "amend":
                return self._amend(tables, parts)
            case "mend":
                return Mend(parts.some(self._names.types, 2) or (self._names.types[0],))
            case "delete ended":
                from_now = parts.one((-5 * SECOND, 0, 1, 1, SECOND, SECOND))
                return DeleteEnded(from_now, self._random.randint(1, 3))
            case _:
                return self._delete(tables, parts)

    def _delete(self, tables: Tables, parts: Parts) -> DeleteFlow:
        ended = [row.ref for row in tables.flows.values() if row.status is not Status.LIVE]
        if ended and parts.chance(0.8):
            one = parts.one(ended)
            return DeleteFlow(one.type, one.id)
        return DeleteFlow(parts.one(self._names.types), parts.one(self._names.ids))

    def _read(self, kind: str, tables: Tables, parts: Parts, replica: str) -> Request:
        numbers = [*tables.flows, NOBODY]
        if kind == "load":
            return Load(replica, parts.some(numbers, 4))
        if kind == "page":
            statuses = parts.some([*Status], 3)
            after = parts.one([0, *tables.flows])
            return Page(parts.one(self._names.types), statuses, after, self._random.randint(1, 4))
        known = [Question(flow, mail.message.key) for (flow, _), mail in tables.mails.items()]
        asked = {*parts.some(known, 3), Question(NOBODY, parts.one(self._names.messages))}
        questions = tuple(sorted(asked, key=lambda one: (one.flow, one.key)))
        return Look(replica, parts.some(self._names.types, 3), parts.some(numbers, 4), questions)

    def _amend(self, tables: Tables, parts: Parts) -> Amend:
        rows = list(tables.flows.values())
        still = [row for row in rows if row.owner is None]
        if not rows:
            return Amend(NOBODY, 0, Amendment(restarts=True))
        row = parts.one(still) if still and parts.chance(0.85) else parts.one(rows)
        amendment = Amendment(
            parts.body() if parts.chance(0.3) else None,
            (*parts.keys_of(row), *parts.keys_above_places(row)) if parts.chance(0.6) else (),
            parts.chance(0.5),
        )
        ahead = 0 if parts.chance(0.9) else parts.one((-1, 1))
        return Amend(row.ref.number, ahead, amendment)

    # batches

    def _fenced(self, batch: Batch) -> Batch:
        """Let a batch be stale once in a while."""
        if self._random.random() > 0.05:
            return batch
        generation, number = self._random.choice(((0, -1), (0, 1), (1, 0), (-1, 0)))
        return replace(batch, generation=generation, number=number)

    def _batch(self, parts: Parts, replica: str) -> Batch:
        if parts.chance(0.01):
            return self._refused(parts, replica)
        entries = [self._entry(parts) for _ in range(self._random.choice((1, 1, 2, 3, 6)))]
        queue = deque(entry or _together(parts.start()) for entry in entries)
        batch = to_batch(assemble(queue, 100), replica, 0, 0, last=parts.chance(0.01))
        return self._fenced(replace(batch, records=_without_doubtful_clears(batch.records)))

    def _entry(self, parts: Parts) -> AnyEntry | None:
        kind = parts.weighted(self._parts)
        if kind == "record":
            record = parts.record()
            return None if record is None else RecordEntry(record, None, None)
        if (part := self._part(kind, parts)) is None:
            return None
        with_it = [parts.record()] if parts.chance(0.2) else []
        return _together(*(one for one in with_it if one), part)

    @staticmethod
    def _part(kind: str, parts: Parts) -> Part | None:
        match kind:
            case "start":
                return parts.start()
            case "publish":
                return parts.publish()
            case "append":
                return parts.append()
            case _:
                return parts.change(kind)

    @staticmethod
    def _refused(parts: Parts, replica: str) -> Batch:
        """Give a batch that must be refused whole, although its first part is well."""
        wrong = replace(parts.start(), param="\ud800", aliases=())
        effect = Effect("a", "capture", "1", digest=2**63)
        if parts.chance(0.5):
            return Batch(replica, 0, 0, (Start("?", "?", "{}"), wrong))
        return Batch(replica, 0, 0, (Start("?", "?", "{}"),), (Record(NOBODY, 1, effect),))


def _has_work_for(kind: str, tables: Tables) -> bool:
    """Whether a request can do anything."""
    flows = tables.flows.values()
    match kind:
        case "claim":
            lost = any(row.owner and row.owner not in tables.replicas for row in flows)
            return lost or any(row.due_at is not None and row.due_at <= tables.now for row in flows)
        case "mend":
            return any(row.mendable for row in flows)
        case "delete ended":
            return any(row.status is Status.DONE for row in flows)
        case "delete flow":
            return any(row.status is not Status.LIVE for row in flows)
        case "amend":
            return any(row.owner is None for row in flows)
        case _:
            return True


def _together(*parts: Part) -> Entry:
    """Give parts that share a transaction, and that nobody waits for."""
    return Entry(parts, cast("Any", None), inside=True)


def _without_doubtful_clears(records: tuple[Record, ...]) -> tuple[Record, ...]:
    """Let no record clear what the same batch records beneath its key afterwards."""
    kept: list[Record] = []
    for index, record in enumerate(records):
        later = [one.effect.key for one in records[index + 1 :] if one.flow == record.flow]
        doubtful = any(is_beneath(record.effect.key, key) for key in later)
        kept.append(replace(record, clears=False) if doubtful else record)
    return tuple(kept)
