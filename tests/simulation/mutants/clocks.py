"""Mutants of time: whose clock counts, what is early, what a deadline is."""

from __future__ import annotations

from typing import Any

from tests.simulation.mutants import grounds
from tests.simulation.mutants.mutant import Mutant, method, nothing_now, on, sql
from unbroken.engine import waits
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.replica import Replica
from unbroken.engine.scope import Scope
from unbroken.engine.standing import Standing

LEARN = Replica.learn_time


def now_by_the_own_clock(self: Replica) -> int:
    """Ask the clock of this process."""
    return self._clock.now()


def learn_too_much(self: Replica, at: int, sent: float) -> None:
    """Take the latest instant that the store's clock may show for what it shows."""
    LEARN(self, at, sent)
    self._store_time += self._doubt


def latest_is_now(self: Replica) -> int:
    """Begin deadlines at what the clock has shown at least."""
    return self.now()


async def wait_only_once(scope: Scope, key: str, instant: int, stay: float | None) -> None:
    """Believe whatever wakes a sleep."""
    if scope.incarnation.services.replica.now() < instant:
        await waits.wait_once(scope, key, deadline=instant, stay=stay)


def remember_no_deadline(self: Incarnation, effect: Any, **more: Any) -> None:
    """Keep the deadline of a sleep in memory alone."""
    if effect.kind != "deadline":
        QUEUE(self, effect, **more)


def last_deadline(self: Standing) -> int | None:
    """Give the last deadline of the waits."""
    found = [wait.deadline for wait in self._waits or () if wait.deadline is not None]
    return max(found, default=None)


def lease_never_ends(self: Replica) -> bool:
    """Trust in the own life."""
    return False


QUEUE = Incarnation.queue_and_go_on

MUTANTS = on(
    grounds.SLEEPS,
    Mutant(
        "time is told by the clock of each process", method(Replica, "now", now_by_the_own_clock)
    ),
    Mutant(
        "the store's time is known ahead",
        method(Replica, "learn_time", learn_too_much),
        grounds.DEAFNESS,
    ),
    Mutant(
        "a duration begins before its wait",
        method(Replica, "latest", latest_is_now),
        grounds.DEAFNESS,
    ),
    Mutant(
        "whatever wakes a sleep ends it",
        method(waits, "until_instant", wait_only_once),
        grounds.CANCELLED_SLEEPS,
    ),
    Mutant(
        "the deadline of a sleep is not recorded",
        method(Incarnation, "queue_and_go_on", remember_no_deadline),
    ),
    Mutant("the deadline of a wait is not recorded", method(waits, "mark_deadline", nothing_now)),
    Mutant("a suspended flow has no deadline", sql("suspend", "due_at = :due_at", "due_at = NULL")),
    Mutant(
        "a flow sleeps until its last deadline",
        method(Standing, "next_deadline", last_deadline),
        survives="it is late, which is not judged where time is virtual",
    ),
    Mutant(
        "a flow is claimed before it is due",
        sql("due", "due_at <= :now", "due_at <= :now + 10000000"),
        survives="each look at a deadline judges it anew",
    ),
    Mutant(
        "bodies begin after the lease",
        method(Replica, "lease_is_over", lease_never_ends),
        grounds.STALLS,
    ),
)
