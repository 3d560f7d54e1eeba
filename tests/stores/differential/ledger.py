"""Counts what sequences really met: a kind of answer that never came was not compared either."""

from __future__ import annotations

from collections.abc import Iterator

from tests.stores.differential.steps import Commit, Request
from unbroken.stores.batch import Appended, Batch, Changed, Receipt, Record


def met(what: Request, answer: object) -> Iterator[str]:
    """Say in words what a request met."""
    name = type(what).__name__.lower()
    if isinstance(what, Commit):
        if isinstance(answer, Receipt):
            yield from _met_by_batch(what.batch, answer)
        else:
            yield "fenced" if answer is None else f"commit: {answer}"
    elif isinstance(answer, (bool, int)) or answer is None:
        yield f"{name}: {'nothing' if not answer else 'something'}"
    else:
        yield name


def _met_by_batch(batch: Batch, receipt: Receipt) -> Iterator[str]:
    for new, started in zip(batch.starts, receipt.started, strict=True):
        if started.created:
            yield "start: created"
        else:
            yield f"start: {'attached' if started.outcome is None else 'ended'}"
            if started.flow.type != new.type:
                yield "start: by an alias"
    for index, record in enumerate(batch.records):
        yield from _met_by_record(record, is_refused=index in receipt.refused)
    for change, answer in zip(batch.changes, receipt.changed, strict=True):
        yield from _met_by_change(type(change).__name__.lower(), answer)
    if batch.claim is not None:
        yield f"claim: {'claimed' if receipt.claimed else 'nothing'}"
        if any(one.crashes > 1 for one in receipt.claimed):
            yield "claim: a suspect"
        if receipt.parked:
            yield "claim: poison"
    if batch.last:
        yield "deregistered"


def _met_by_record(record: Record, *, is_refused: bool) -> Iterator[str]:
    yield f"record: {'refused' if is_refused else 'written'}"
    if is_refused:
        return
    if record.clears:
        yield "record: clears"
    if record.consumes:
        yield "record: consumes"
    if record.also is not None:
        rare = record.also
        for name in ("drops", "forgets", "restores", "reply"):
            if getattr(rare, name):
                yield f"record: {name}"


def _met_by_change(name: str, answer: Changed | Appended) -> Iterator[str]:
    if isinstance(answer, Appended):
        for delivery in set(answer.deliveries):
            yield f"{name}: {delivery.value}"
        return
    yield f"{name}: {answer.answer.value}"
    if answer.told:
        yield f"{name}: told"
    if answer.granted:
        yield f"{name}: granted"
