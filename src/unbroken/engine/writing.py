"""Writes of an incarnation that must share a transaction with other parts."""

from __future__ import annotations

import asyncio

from unbroken.engine.incarnation import Incarnation
from unbroken.engine.outcomes import Lost
from unbroken.model import signals
from unbroken.model.errors import BatchRefused
from unbroken.stores.batch import Append, Appended, Change, Changed, Record, Start


async def write_together(
    incarnation: Incarnation, record: Record, *others: Start | Change
) -> tuple[object, ...]:
    """Write an effect and what belongs to it in one transaction; give the answers to the others.

    Starts go before the effect, changes after it. Raises `Suspended` if the incarnation is over or
    not this replica's any more. A cancel of the waiting task is raised at once; the transaction
    goes on.
    """
    incarnation.check_sealed()
    incarnation.remember(record.effect)
    starts = [part for part in others if isinstance(part, Start)]
    changes = [part for part in others if not isinstance(part, Start)]
    parts = (*incarnation.take_unflushed(), *starts, record, *changes)
    storing = incarnation.services.committer.submit(*parts, inside=True)
    storing.add_done_callback(lambda done: _deliver(incarnation, parts, done))
    try:
        answers = await asyncio.shield(storing)
    except BatchRefused as error:
        raise incarnation.park(error) from None
    if answers is None or False in answers:
        incarnation.seal(Lost())
        raise signals.Suspended
    by_part = {id(part): answer for part, answer in zip(parts, answers, strict=False)}
    return tuple(by_part.get(id(part)) for part in others)


def _deliver(
    incarnation: Incarnation,
    parts: tuple[object, ...],
    done: asyncio.Future[tuple[object, ...] | None],
) -> None:
    """Hand messages to flows that run here; the store has told the others."""
    if done.cancelled() or done.exception() is not None:
        return
    deliver = incarnation.services.deliver
    for part, answer in zip(parts, done.result() or (), strict=False):
        if isinstance(answer, Changed):
            for appended, message in answer.granted:
                deliver(appended, message)
        elif isinstance(answer, Appended) and isinstance(part, Append):
            for index, message in enumerate(part.messages):
                deliver(_one_of(answer, index), message)


def _one_of(answer: Appended, index: int) -> Appended:
    """Give what became of one message of several."""
    accepted = [i for i, one in enumerate(answer.deliveries) if one == "accepted"]
    positions = (answer.positions[accepted.index(index)],) if index in accepted else ()
    return Appended((answer.deliveries[index],), positions, answer.flow, answer.owner)
