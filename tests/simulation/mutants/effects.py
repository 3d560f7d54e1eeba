"""Mutants of captures: markers, results, attempts, and what goes with them."""

from __future__ import annotations

from typing import Any

from tests.simulation.mutants import grounds
from tests.simulation.mutants.mutant import Mutant, all_of, method, nothing, on, sql, statement
from tests.simulation.mutants.owners import ANY_RECORD
from unbroken.engine import captures
from unbroken.engine.effect_spec import EffectSpec
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.journal import RESULTS, Journal
from unbroken.engine.scope import Scope
from unbroken.model.records import Effect, Kind
from unbroken.stores.batch import Record

RECORD = Incarnation.record
BEGIN_ONCE = captures._begin_once
TRY_AGAIN = captures._try_again_later


def _marker(incarnation: Incarnation, key: str, digest: int | None) -> Effect:
    return Effect(f"{key}.begun", Kind.BEGUN, "null", digest=digest, incarnation=incarnation.number)


async def mark_and_go_on(incarnation: Incarnation, key: str, digest: int | None) -> None:
    """Begin the body while the marker is on its way."""
    if f"{key}.begun" in incarnation.effects:
        await BEGIN_ONCE(incarnation, key, digest)
    marker = _marker(incarnation, key, digest)
    incarnation.remember(marker)
    incarnation.queue_and_go_on(marker)


async def mark_with_the_result(incarnation: Incarnation, key: str, digest: int | None) -> None:
    """Write the marker in the transaction of the result."""
    if f"{key}.begun" in incarnation.effects:
        await BEGIN_ONCE(incarnation, key, digest)
    incarnation.keep(_marker(incarnation, key, digest))


async def begin_once_more(incarnation: Incarnation, key: str, digest: int | None) -> None:
    """Begin again what has begun."""
    if f"{key}.begun" not in incarnation.effects:
        await BEGIN_ONCE(incarnation, key, digest)


async def record_and_go_on(self: Incarnation, effect: Effect, **more: Any) -> None:
    """Let the flow see a result that is not committed yet."""
    if effect.kind not in RESULTS or more.get("consumes"):
        await RECORD(self, effect, **more)
        return
    committer = self._ready_committer()
    self.remember(effect)
    clears = more.get("clears", False)
    record = Record(self.flow.number, self.number, effect, (), clears, more.get("also"))
    committer.record(record, on_lost=self._not_landed)


async def raise_unrecorded(
    incarnation: Incarnation, key: str, spec: EffectSpec, error: Exception, digest: int | None
) -> None:
    """Raise an error that no replay knows of."""
    raise error


async def try_again_unrecorded(
    scope: Scope, key: str, spec: EffectSpec, error: Exception, attempt: int
) -> bool:
    """Try again at once, and leave no word of it."""
    return spec.retry is not None and attempt < 4


async def resume_at_once(scope: Scope, key: str) -> int:
    """Begin the next attempt whenever the flow comes by."""
    attempt = 1
    while f"{key}.{attempt}" in scope.incarnation.effects:
        attempt += 1
    return attempt


def write_nothing_kept(self: Incarnation) -> list[object]:
    """Forget what was kept for the next write."""
    self._unflushed = self._state = None
    return []


def is_always_open(self: Incarnation) -> bool:
    """Know of no end."""
    return True


def never_cut(self: Journal, key: str) -> bool:
    """Answer where a former run was cut."""
    return False


UNTOLD = all_of(
    method(Incarnation, "check_sealed", lambda self: None),
    method(Incarnation, "is_open", is_always_open),
)

RESULTS_AND_MARKS = on(
    grounds.ONCE,
    Mutant("an at-most-once effect has no marker", method(captures, "_begin_once", nothing)),
    Mutant(
        "an at-most-once body begins while its marker is on its way",
        method(captures, "_begin_once", mark_and_go_on),
    ),
    Mutant(
        "marker and result of an at-most-once effect share a transaction",
        method(captures, "_begin_once", mark_with_the_result),
    ),
    Mutant(
        "an at-most-once effect that was interrupted begins again",
        method(captures, "_begin_once", begin_once_more),
    ),
    Mutant("a result is seen before its commit", method(Incarnation, "record", record_and_go_on)),
    Mutant("an error is not recorded", method(captures, "_keep_error", raise_unrecorded)),
    Mutant(
        "a result is written over another",
        sql("record", "DO NOTHING", "DO UPDATE SET body = excluded.body, incarnation = ?8"),
        survives="only the owner writes, and never twice under a key",
    ),
)

TRIES = on(
    grounds.TRIES,
    Mutant(
        "failed attempts are not recorded",
        method(captures, "_try_again_later", try_again_unrecorded),
        is_slow=True,
    ),
    Mutant(
        "a resumed attempt does not wait for its instant",
        method(captures, "_resume_attempts", resume_at_once),
        is_slow=True,
    ),
)

MORE = (
    Mutant(
        "what lies beneath an effect stays",
        statement("clear", "DELETE FROM effects WHERE flow = :flow AND key = :key AND 0"),
    ),
    Mutant(
        "what was kept is never written", method(Incarnation, "take_unflushed", write_nothing_kept)
    ),
    Mutant("code is not told of the seal", UNTOLD),
    Mutant(
        "code is not told of the seal, and effects compare no owner", all_of(UNTOLD, ANY_RECORD)
    ),
    Mutant(
        "a cut is not recorded", method(Incarnation, "cut", nothing), grounds.CANCELS, is_slow=True
    ),
    Mutant(
        "a replay goes on where it was cut",
        method(Journal, "was_cut", never_cut),
        grounds.CANCELS,
        is_slow=True,
    ),
)

MUTANTS = (*RESULTS_AND_MARKS, *TRIES, *MORE)
