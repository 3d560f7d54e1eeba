"""Turns queued writes into batches and receipts into answers. Pure decisions, no I/O.

A flow's row changes at most once in a batch (H4, R6): the queue is cut at the second change of a
row, except that appends to one flow fold into one. A claim is alone in its batch, because nobody
can know which rows it will pick; so are changes that may give a place in a queue to another flow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal

from unbroken.stores.batch import (
    Acknowledge,
    Answer,
    Append,
    Appended,
    Batch,
    Change,
    Changed,
    Claim,
    Continue,
    Correlate,
    End,
    LeavePlace,
    Publish,
    Receipt,
    Record,
    Release,
    Retry,
    Start,
    Suspend,
    TakePlace,
)

Part = Start | Record | Publish | Change | Claim
Row = tuple[str, str]


class RecordEntry:
    """One effect of an owned flow: by far the most frequent write.

    `landed` is its answer, also for a waiter that was cancelled meanwhile.
    """

    __slots__ = ("error", "future", "landed", "on_lost", "record")

    def __init__(
        self,
        record: Record,
        future: asyncio.Future[None] | None,
        on_lost: Callable[[RecordEntry], None] | None,
    ) -> None:
        self.record = record
        self.future = future
        self.on_lost = on_lost
        self.landed: bool | None = None
        self.error: Exception | None = None

    def answer(self, *, landed: bool) -> None:
        """Say whether the effect was written."""
        self.landed = landed
        future = self.future
        if future is not None:
            if not future.done():
                future.set_result(None)
        elif self.on_lost is not None and not landed:
            self.on_lost(self)

    async def land(self) -> bool:
        """Wait for the answer although the waiting task is being cancelled."""
        while self.landed is None:
            self.future = asyncio.get_running_loop().create_future()
            try:
                await self.future
            except asyncio.CancelledError:
                continue
        return self.landed

    def answer_fenced(self) -> None:
        """Say that nothing was written because the replica is gone."""
        self.answer(landed=False)

    def fail(self, error: Exception) -> None:
        """Say that the database refuses these contents."""
        self.error = error
        self.answer(landed=False)


class Entry:
    """Parts that must share a transaction, and who waits for their answers.

    `parts` are those still to be sent: of a batch that landed without its answers, some are known
    to have done their part, and the others are asked again.
    """

    __slots__ = ("_all", "_known", "duty", "future", "inside", "parts")

    def __init__(
        self,
        parts: tuple[Part, ...],
        future: asyncio.Future[Any],
        *,
        inside: bool,
        duty: Literal["write", "probe", "audit"] = "write",
    ) -> None:
        self.parts = parts
        self.future = future
        self.inside = inside
        self.duty = duty
        self._all = parts
        self._known: dict[int, object] | None = None

    def answer(self, answers: tuple[object, ...]) -> None:
        """Give who waits, if anyone still does, one answer for each part, in their order."""
        if self._known is not None:
            asked = zip(map(id, self.parts), answers, strict=True)
            known = self._known | dict(asked)
            answers = tuple(known[id(part)] for part in self._all)
        if not self.future.done():
            self.future.set_result(answers)

    def ask_again(self, known: dict[int, object]) -> bool:
        """Keep what is known of some parts, by their id; False if that is all."""
        self._known = (self._known or {}) | known
        self.parts = tuple(part for part in self.parts if id(part) not in known)
        return bool(self.parts)

    def answer_fenced(self) -> None:
        """Say that nothing was written because the replica is gone."""
        if not self.future.done():
            self.future.set_result(None)

    def fail(self, error: Exception) -> None:
        """Say that the database refuses these contents."""
        if not self.future.done():
            self.future.set_exception(error)


AnyEntry = RecordEntry | Entry


def to_batch(
    entries: Sequence[AnyEntry], replica: str, generation: int, number: int, *, last: bool = False
) -> Batch:
    """Sort the parts of all entries into one batch."""
    starts: list[Start] = []
    records: list[Record] = []
    states: list[Publish] = []
    changes: dict[object, Change] = {}
    claim: Claim | None = None
    for entry in entries:
        if isinstance(entry, RecordEntry):
            records.append(entry.record)
            continue
        for part in entry.parts:
            match part:
                case Record():
                    records.append(part)
                case Start():
                    starts.append(part)
                case Publish():
                    states.append(part)
                case Claim():
                    claim = part
                case Append():
                    _fold(changes, part)
                case _:
                    changes[id(part)] = part
    return Batch(
        replica,
        generation,
        number,
        tuple(starts),
        tuple(records),
        tuple(states),
        tuple(changes.values()),
        claim,
        last,
    )


def _fold(changes: dict[object, Change], append: Append) -> None:
    row = (append.type, append.id)
    before = changes.get(row)
    if type(before) is Append:
        messages = before.messages + append.messages
        append = Append(append.type, append.id, messages, before.cancels or append.cancels)
    changes[row] = append


def _rows(part: Part) -> tuple[Row, ...]:
    """Say which flow rows a part changes."""
    match part:
        case Record() | Publish() | Claim() | Correlate():
            return ()
        case Start():
            return tuple((name, part.id) for name in (part.type, *part.aliases))
        case Append():
            return ((part.type, part.id),)
        case End():
            told = tuple((parent.flow.type, parent.flow.id) for parent in part.parents)
            return ((part.flow.type, part.flow.id), *told)
        case (
            Suspend()
            | Release()
            | Acknowledge()
            | Retry()
            | Continue()
            | TakePlace()
            | LeavePlace()
        ):
            return ((part.flow.type, part.flow.id),)


def assemble(queue: deque[AnyEntry], limit: int) -> list[AnyEntry]:
    """Take from the queue what one transaction may hold, in order."""
    taken: list[AnyEntry] = []
    touched: dict[Row, Literal["append", "other"]] = {}
    size = 0
    while queue and size < limit:
        entry = queue[0]
        if isinstance(entry, RecordEntry):
            size += 1
        else:
            if entry.duty == "audit" or any(map(_goes_alone, entry.parts)):
                return taken or [queue.popleft()]
            if not _fits(entry.parts, touched):
                break
            size += len(entry.parts)
        taken.append(queue.popleft())
    return taken


def _goes_alone(part: Part) -> bool:
    """Whether a part may change rows that nobody can know beforehand."""
    match part:
        case Claim() | TakePlace() | LeavePlace():
            return True
        case End() | Retry() | Continue():
            return part.frees
        case _:
            return False


def _fits(parts: tuple[Part, ...], touched: dict[Row, Literal["append", "other"]]) -> bool:
    rows: dict[Row, Literal["append", "other"]] = {}
    for part in parts:
        use: Literal["append", "other"] = "append" if type(part) is Append else "other"
        for row in _rows(part):
            if row in touched and not (use == touched[row] == "append"):
                return False
            rows[row] = use
    touched.update(rows)
    return True


def answers_of(entries: Sequence[AnyEntry], batch: Batch, receipt: Receipt) -> None:
    """Hand the receipt's answers to the entries they belong to."""
    refused = receipt.refused
    started = iter(receipt.started)
    changed = {
        id(change): answer for change, answer in zip(batch.changes, receipt.changed, strict=True)
    }
    appends = _appends(batch, receipt)
    index = 0
    for entry in entries:
        if isinstance(entry, RecordEntry):
            entry.answer(landed=index not in refused)
            index += 1
            continue
        answers: list[object] = []
        for part in entry.parts:
            match part:
                case Record():
                    answers.append(index not in refused)
                    index += 1
                case Start():
                    answers.append(next(started))
                case Publish():
                    answers.append(True)
                case Claim():
                    answers.append(receipt)
                case Append():
                    answers.append(appends[part.type, part.id].take(len(part.messages)))
                case _:
                    answers.append(changed[id(part)])
        entry.answer(tuple(answers))


class _Shares:
    """Deals the answer of a folded append out to those that were folded."""

    def __init__(self, answer: Appended) -> None:
        self._answer = answer
        self._deliveries = iter(answer.deliveries)
        self._positions = iter(answer.positions)

    def take(self, count: int) -> Appended:
        deliveries = tuple(next(self._deliveries) for _ in range(count))
        positions = tuple(next(self._positions) for d in deliveries if d == "accepted")
        return Appended(deliveries, positions, self._answer.flow, self._answer.owner)


def _appends(batch: Batch, receipt: Receipt) -> dict[Row, _Shares]:
    return {
        (change.type, change.id): _Shares(answer)
        for change, answer in zip(batch.changes, receipt.changed, strict=True)
        if type(change) is Append and type(answer) is Appended
    }


def remains_after_landing(entry: AnyEntry, owned: dict[int, int]) -> bool:
    """Answer what a landed batch must have done; True if the entry has to be sent again."""
    if isinstance(entry, RecordEntry):
        entry.answer(landed=True)
        return False
    known: dict[int, object] = {}
    for part in entry.parts:
        if isinstance(part, (Record, Publish)):
            known[id(part)] = True
        elif isinstance(part, Claim):
            known[id(part)] = Receipt(0)
        elif not isinstance(part, (Start, Append, TakePlace, LeavePlace, Correlate)):
            known[id(part)] = _landed(part, owned)
    if entry.ask_again(known):
        return True
    entry.answer(())
    return False


def _landed(
    part: Suspend | Release | End | Retry | Continue | Acknowledge, owned: dict[int, int]
) -> Changed:
    mine = owned.get(part.flow.number) == part.incarnation
    if type(part) is Acknowledge:
        return Changed(Answer.ACCEPTED if mine else Answer.REFUSED)
    return Changed(Answer.MOVED if mine else Answer.ACCEPTED)
