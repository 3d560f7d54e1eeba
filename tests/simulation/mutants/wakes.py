"""Mutants of suspending and waking: an inbox that moved, a message that nobody notices."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.simulation.mutants import grounds
from tests.simulation.mutants.mutant import Mutant, all_of, method, nothing_now, on, sql
from unbroken.engine import executor
from unbroken.engine.completions import Completions
from unbroken.engine.engine import Engine
from unbroken.engine.executor import Executor
from unbroken.engine.inbox import Inbox
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.poller import Poller
from unbroken.engine.standing import Standing
from unbroken.model.records import Claimed, Message
from unbroken.stores.batch import Answer, Change, Changed, Suspend

SUBMIT = Executor._submit
CHANGE_OF = executor.change_of
ADD = Inbox.add


async def believe_every_suspension(self: Executor, incarnation: Any, ending: Any) -> Changed | None:
    """Take a refused suspension for an accepted one."""
    answer = await SUBMIT(self, incarnation, ending)
    moved = answer is not None and answer.answer is Answer.MOVED
    return Changed(Answer.ACCEPTED) if moved else answer


def seen_by_position(incarnation: Incarnation, ending: Any, code: int) -> Change:
    """Take the highest position for the counter of the inbox."""
    change = CHANGE_OF(incarnation, ending, code)
    if type(change) is not Suspend:
        return change
    return msgspec.structs.replace(change, seen=incarnation.inbox._seen)


def add_and_believe(self: Inbox, message: Message) -> bool:
    """Count up to the position of what came, whatever else came before."""
    return ADD(self, message)


def read_whatever(self: Incarnation, counter: int) -> None:
    """Count also what came after the seal."""
    self.inbox.counter = max(self.inbox.counter, counter)


async def wait_for_a_wake(self: Poller) -> None:
    """Look only when told to."""
    if self._wake.is_set():
        return
    self._is_busy = False
    self._services.rest.end()
    await self._wake.wait()
    if not self._is_busy:
        self._is_busy = True
        self._services.rest.begin()


def is_no_gap(self: Inbox, position: int) -> bool:
    """See no gap before a message."""
    return True


async def go_on_without_a_look(self: Executor, incarnation: Incarnation) -> None:
    """Run again without reading what came while it began."""
    again = await self.finish(incarnation)
    if again is not None:
        self._context.copy().run(lambda: self.run(again, again=True))


async def suspend_by_hand(self: Executor, incarnation: Incarnation, number: int) -> Claimed | None:
    """Leave alone a flow whose suspension was refused."""
    return None


def never_let_go(self: Standing) -> float:
    """Hold what waits in memory for ever."""
    return float("inf")


NO_INBOX_POLL = sql(
    "poll", "f.owner = :replica AND f.inbox > f.seen", "f.owner = :replica AND f.inbox < 0"
)
NO_GAP = method(Inbox, "follows", is_no_gap)

MUTANTS = on(
    grounds.TALK_OF_THE_DEAF,
    Mutant("a suspension does not look at the inbox", sql("suspend", " AND inbox = :seen", "")),
    Mutant(
        "an append makes nothing due",
        sql(
            "append",
            "ELSE min(coalesce(due_at, :now), max(:now, not_before)) END",
            "ELSE due_at END",
        ),
    ),
    Mutant(
        "a message of the engine makes nothing due",
        sql(
            "append_by_number",
            "min(coalesce(due_at, :now), max(:now, not_before))",
            "due_at",
        ),
    ),
    Mutant(
        "a message makes due a flow that sleeps longer only when it wakes",
        sql(
            "append",
            "ELSE min(coalesce(due_at, :now), max(:now, not_before)) END",
            "ELSE coalesce(due_at, max(:now, not_before)) END",
        ),
        survives="it is late, which is not judged where time is virtual",
    ),
    Mutant(
        "an append under an owner does not count",
        sql(
            "append",
            "SET inbox = inbox + :count",
            "SET inbox = inbox + :count * (owner IS NULL)",
        ),
    ),
    Mutant(
        "an own append counts as seen on every replica",
        sql(
            "append",
            "CASE WHEN owner = :replica THEN seen + :count ELSE seen END",
            "seen + :count",
        ),
        grounds.TALK_OF_THE_DEAF,
        survives="a flow that waits leaves memory, and its suspension is refused",
    ),
    Mutant(
        "a refused suspension is believed",
        method(Executor, "_submit", believe_every_suspension),
    ),
    Mutant(
        "the highest position is taken for the counter",
        method(executor, "change_of", seen_by_position),
        grounds.TALK_OF_THE_DEAF,
        is_slow=True,
    ),
    Mutant("a gap in the inbox is not seen", NO_GAP, grounds.TALK_OF_THE_DEAF),
    Mutant(
        "what comes after the seal counts as seen",
        method(Incarnation, "has_read", read_whatever),
        grounds.TALK_OF_THE_DEAF,
        is_slow=True,
    ),
    Mutant(
        "a message that is delivered wakes nobody", method(Incarnation, "wake_for", nothing_now)
    ),
    Mutant(
        "there is no poll, only wake-ups",
        method(Poller, "_rest_until_woken", wait_for_a_wake),
        grounds.TALK_OF_THE_DEAF,
    ),
    Mutant(
        "the poll does not look for moved inboxes",
        NO_INBOX_POLL,
        survives="a flow that waits leaves memory in the end, and its suspension is refused",
    ),
    Mutant(
        "the poll does not look for moved inboxes, and no flow leaves memory",
        all_of(NO_INBOX_POLL, method(Standing, "_stay", never_let_go)),
    ),
    Mutant(
        "what came while a flow began again is not read",
        method(Executor, "_finish_and_go_on", go_on_without_a_look),
        grounds.TALK_OF_THE_DEAF,
        survives="a flow that waits leaves memory, and its suspension is refused",
    ),
    Mutant(
        "a flow whose suspension was refused is left alone",
        method(Executor, "_read_again", suspend_by_hand),
    ),
    Mutant(
        "what this process sends to its own flows is not handed to them",
        method(Engine, "_deliver", nothing_now),
        survives="their suspension is refused, and they run again",
    ),
    Mutant("who waits for an end is not told of it", method(Completions, "resolve", nothing_now)),
)
