"""Turns queued writes into batches and receipts into answers. Pure decisions, no I/O.

A flow's row changes at most once in a batch (H4, R6): the queue is cut at the second change of a
row, except that appends to one flow fold into one. A claim is alone in its batch, because nobody can
know which rows it will pick.
"""

from __future__ import annotations

import asyncio
from collections import deque
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
    End,
    Receipt,
    Record,
    Release,
    Start,
    Suspend,
)

Part = Start | Record | Change | Claim
Row = tuple[str, str]


class Entry:
    """Parts that must share a transaction, and who waits for their answers."""

    __slots__ = ("duty", "future", "inside", "parts")

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

    def answer(self, answers: tuple[object, ...]) -> None:
        """Give the answers to who waits, if anyone still does."""
        if not self.future.done():
            is_record = len(self.parts) == 1 and type(self.parts[0]) is Record
            self.future.set_result(answers[0] if is_record else answers)

    def answer_fenced(self) -> None:
        """Say that nothing was written because the replica is gone."""
        if not self.future.done():
            is_record = len(self.parts) == 1 and type(self.parts[0]) is Record
            self.future.set_result(False if is_record else None)

    def fail(self, error: Exception) -> None:
        """Say that the database refuses these contents."""
        if not self.future.done():
            self.future.set_exception(error)

    @staticmethod
    def to_batch(
        entries: list[Entry], replica: str, generation: int, number: int, *, last: bool
    ) -> Batch:
        """Sort the parts of all entries into one batch."""
        starts: list[Start] = []
        records: list[Record] = []
        changes: dict[object, Change] = {}
        claim: Claim | None = None
        for entry in entries:
            for part in entry.parts:
                if isinstance(part, Record):
                    records.append(part)
                elif isinstance(part, Start):
                    starts.append(part)
                elif isinstance(part, Claim):
                    claim = part
                elif isinstance(part, Append):
                    _fold(changes, part)
                else:
                    changes[id(part)] = part
        return Batch(
            replica,
            generation,
            number,
            tuple(starts),
            tuple(records),
            tuple(changes.values()),
            claim,
            last,
        )


def _fold(changes: dict[object, Change], append: Append) -> None:
    row = (append.type, append.id)
    before = changes.get(row)
    if type(before) is Append:
        append = Append(append.type, append.id, before.messages + append.messages)
    changes[row] = append


def _rows(part: Part) -> tuple[Row, ...]:
    """Say which flow rows a part changes."""
    match part:
        case Record() | Claim():
            return ()
        case Start() | Append():
            return ((part.type, part.id),)
        case End():
            told = tuple((parent.flow.type, parent.flow.id) for parent in part.parents)
            return ((part.flow.type, part.flow.id), *told)
        case Suspend() | Release() | Acknowledge():
            return ((part.flow.type, part.flow.id),)


def assemble(queue: deque[Entry], limit: int) -> list[Entry]:
    """Take from the queue what one transaction may hold, in order."""
    taken: list[Entry] = []
    touched: dict[Row, Literal["append", "other"]] = {}
    size = 0
    while queue and size < limit:
        entry = queue[0]
        parts = entry.parts
        if len(parts) == 1 and type(parts[0]) is Record:
            taken.append(queue.popleft())
            size += 1
            continue
        if entry.duty == "audit" or any(type(part) is Claim for part in parts):
            return taken or [queue.popleft()]
        if not _fits(parts, touched):
            break
        taken.append(queue.popleft())
        size += len(parts)
    return taken


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


def answers_of(entries: list[Entry], batch: Batch, receipt: Receipt) -> None:
    """Hand the receipt's answers to the entries they belong to."""
    if not batch.starts and not batch.changes and batch.claim is None:
        _answer_records(entries, receipt.refused)
        return
    started = iter(receipt.started)
    changed = {
        id(change): answer
        for change, answer in zip(batch.changes, receipt.changed, strict=True)
    }
    appends = _appends(batch, receipt)
    index = 0
    for entry in entries:
        answers: list[object] = []
        for part in entry.parts:
            if type(part) is Record:
                answers.append(index not in receipt.refused)
                index += 1
            elif type(part) is Start:
                answers.append(next(started))
            elif type(part) is Claim:
                answers.append(receipt)
            elif type(part) is Append:
                answers.append(appends[part.type, part.id].take(len(part.messages)))
            else:
                answers.append(changed[id(part)])
        entry.answer(tuple(answers))


def _answer_records(entries: list[Entry], refused: frozenset[int]) -> None:
    index = 0
    for entry in entries:
        count = len(entry.parts)
        answers = tuple(i not in refused for i in range(index, index + count))
        index += count
        entry.answer(answers)


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


def remains_after_landing(entry: Entry, owned: dict[int, int]) -> bool:
    """Answer what a landed batch must have done; True if the entry has to be sent again."""
    answers: list[object] = []
    again: list[Part] = []
    for part in entry.parts:
        if isinstance(part, Record):
            answers.append(True)
        elif isinstance(part, (Start, Append)):
            again.append(part)
        elif isinstance(part, Claim):
            answers.append(Receipt(0))
        else:
            answers.append(_landed(part, owned))
    if not again:
        entry.answer(tuple(answers))
        return False
    # Only the start of a group is asked again; that its record landed is known.
    entry.parts = tuple(again)
    return True


def _landed(part: Suspend | Release | End | Acknowledge, owned: dict[int, int]) -> Changed:
    mine = owned.get(part.flow.number) == part.incarnation
    if type(part) is Acknowledge:
        return Changed(Answer.ACCEPTED if mine else Answer.REFUSED)
    return Changed(Answer.MOVED if mine else Answer.ACCEPTED)
