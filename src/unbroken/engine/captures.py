"""The law of one effect: a completed one never runs again; an at-most-once body begins once.

At least once: run, record, go on. A crash in between runs the body again. At most once: the marker
`key.begun` is committed before the body begins and never shares a batch with the result (R5). Begun
and not ended is `EffectInterrupted`, the same on every replay. Retries: each failed attempt leaves
`key.1`, `key.2`, … with the instant before which the next one must not begin; all of them go when
the effect ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta

from unbroken.engine.bodies import BeginsTooLate, Call, run_body
from unbroken.engine.cancelling import heed_cancel
from unbroken.engine.deploys import check_former_names, known_as
from unbroken.engine.effect_spec import EffectSpec
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.leaving import leave
from unbroken.engine.outcomes import Lost
from unbroken.engine.scope import SCOPE, Scope, is_counted_task
from unbroken.engine.waits import FOREVER, until_cut_again, until_instant
from unbroken.model.clock import MICROSECOND
from unbroken.model.errors import (
    DeserializationError,
    EffectInterrupted,
    ReplayMismatch,
    SerializationError,
    WeakDurability,
)
from unbroken.model.records import Effect, Kind
from unbroken.serialization.serializer import Payload


async def perform(
    scope: Scope,
    key: str,
    spec: EffectSpec,
    call: Call,
    arguments: tuple[tuple[object, ...], dict[str, object]],
) -> object:
    """Give the recorded result of an effect, or run it and record it."""
    incarnation = scope.incarnation
    incarnation.is_awaited(key)
    # A body that has begun may end, with all that belongs to it, while the process stops.
    is_over = incarnation.is_sealed if scope.body_of is not None else not incarnation.is_open()
    if is_over:
        await leave(incarnation)
    is_foreign = not is_counted_task()
    if is_foreign:
        incarnation.adopt_foreign()
    if spec.aliases:
        key = known_as(scope, key, spec)
    if incarnation.was_cut(key):
        await until_cut_again(scope, key)
    incarnation.check_cancelled(key)
    effect = incarnation.recorded(key, Kind.CAPTURE)
    digest = incarnation.services.serializer.digest(*arguments)
    if effect is not None:
        _check_arguments(scope, effect, digest)
        return _replayed(incarnation, effect, spec)
    # An interruption that the flow was told of lies behind it: a cancel is not raised before that.
    if incarnation.cancel is not None and f"{key}.begun" not in incarnation.effects:
        await heed_cancel(scope, key)
    if incarnation.unread is not None:
        check_former_names(scope, key, spec, digest)
    running = _run(scope, key, spec, call, digest)
    try:
        return await (_run_foreign(scope, running) if is_foreign else running)
    except asyncio.CancelledError:
        await _cut_if_cancelled(incarnation, key)
        raise


async def _run_foreign(scope: Scope, running: Coroutine[object, object, object]) -> object:
    """Count an effect in a task of the user's as a branch: the flow must not leave under it."""
    incarnation = scope.incarnation
    token = SCOPE.set(Scope(incarnation, scope.prefix, asyncio.current_task(), scope.body_of))
    incarnation.enter_foreign(asyncio.current_task())
    try:
        return await running
    finally:
        incarnation.leave_foreign(asyncio.current_task())
        SCOPE.reset(token)


async def _run(scope: Scope, key: str, spec: EffectSpec, call: Call, digest: int | None) -> object:
    """Run the body, again if it may be tried again; record its value and give it."""
    incarnation = scope.incarnation
    services = incarnation.services
    attempt = 1
    if spec.at_most_once:
        await _begin_once(incarnation, key, digest)
    elif spec.retry is not None:
        attempt = await _resume_attempts(scope, key)
    while True:
        if services.replica.lease_is_over():
            await _renew_lease(incarnation)
        if incarnation.ending is not None:
            incarnation.check_sealed()  # sealed while the marker was on its way back (R5)
        try:
            value = await run_body(scope, key, spec, call)
            payload, kept = services.serializer.round_trip(value, spec.returns, key=key)
            break
        except BeginsTooLate:
            incarnation.check_sealed()
            continue
        except Exception as error:  # noqa: BLE001  a body's failure becomes data
            # A body that swallowed the signal, or failed because of it, has no say any more.
            incarnation.check_sealed()
            if not await _try_again_later(scope, key, spec, error, attempt):
                await _keep_error(incarnation, key, spec, error, digest)
        attempt += 1
    effect = Effect(
        key,
        Kind.ONCE if spec.at_most_once else Kind.CAPTURE,
        payload.body,
        payload.type,
        digest=digest,
        incarnation=incarnation.number,
    )
    clears = incarnation.has_beneath(key)
    if spec.flush:
        await incarnation.record(effect, clears=clears)
    else:
        incarnation.keep(effect, clears=clears)
    return kept


async def _begin_once(incarnation: Incarnation, key: str, digest: int | None) -> None:
    """Commit the marker before the body begins; refuse if it is there already."""
    begun = f"{key}.begun"
    if begun in incarnation.effects:
        raise incarnation.blame(key, EffectInterrupted(key))
    if not incarnation.services.store.is_durable:
        raise incarnation.park(WeakDurability(key, incarnation.services.store.durability))
    await incarnation.record(
        Effect(begun, Kind.BEGUN, "null", digest=digest, incarnation=incarnation.number)
    )


async def _keep_error(
    incarnation: Incarnation, key: str, spec: EffectSpec, error: Exception, digest: int | None
) -> None:
    """Record an error and raise it as every replay will.

    What says that an at-most-once effect began stays, also beneath: a restart of the flow must not
    begin it again.
    """
    serializer = incarnation.services.serializer
    text = serializer.encode_exception(error)
    kind = Kind.ONCE if spec.at_most_once else Kind.CAPTURE
    number = incarnation.number
    effect = Effect(key, kind, text, failed=True, digest=digest, incarnation=number)
    clears = incarnation.has_beneath(key) and not incarnation.begins_once(key)
    await incarnation.record(effect, clears=clears)
    raise incarnation.blame(key, serializer.rebuild_exception(text)) from error


def _replayed(incarnation: Incarnation, effect: Effect, spec: EffectSpec) -> object:
    serializer = incarnation.services.serializer
    if effect.failed:
        raise incarnation.blame(effect.key, serializer.rebuild_exception(effect.body))
    try:
        return serializer.decode(Payload(effect.type, effect.body), spec.returns)
    except DeserializationError as error:
        raise incarnation.park(error) from None


def _check_arguments(scope: Scope, effect: Effect, given: int | None) -> None:
    """Refuse a result that belongs to other arguments (H21).

    A name used once only reports: the recorded result wins, that is durable execution.
    """
    incarnation, key = scope.incarnation, effect.key
    name, _, use = key[len(scope.prefix) :].partition("#")
    differs = None not in (effect.digest, given) and effect.digest != given
    shifted = scope.shifted.get(name) if scope.shifted else None
    if use and shifted:
        raise incarnation.park(ReplayMismatch(shifted[0], *_sides(shifted)))
    if not differs:
        return
    sides = (f"arguments with digest {given}", f"arguments with digest {effect.digest}")
    is_repeated = use or f"{scope.prefix}{name}#2" in incarnation.effects
    if is_repeated or incarnation.services.own_runs.recorded(incarnation, effect):
        raise incarnation.park(ReplayMismatch(key, *sides))
    if scope.shifted is None:
        scope.shifted = {}
    scope.shifted[name] = (key, sides[0])
    incarnation.emit("effect.arguments_changed", f"{key!r}: {sides[0]}, recorded were {sides[1]}")


def _sides(shifted: tuple[str, str]) -> tuple[str, str]:
    return shifted[1], "the result of other arguments"


async def _resume_attempts(scope: Scope, key: str) -> int:
    """Wait until the next attempt may begin; give its number."""
    attempt = 1
    effects = scope.incarnation.effects
    while (mark := effects.get(f"{key}.{attempt}")) is not None:
        attempt += 1
        if f"{key}.{attempt}" not in effects:
            await until_instant(scope, key, int(mark.body), None)
    return attempt


async def _try_again_later(
    scope: Scope, key: str, spec: EffectSpec, error: Exception, attempt: int
) -> bool:
    """Record a failed attempt and wait for the next; False if there is none."""
    if spec.retry is None or isinstance(error, SerializationError):
        return False  # the same value would not become storable by running the body again
    services = scope.incarnation.services
    delay = spec.retry.next_delay(error, attempt, services.random.fraction())
    if delay is None:
        return False
    instant = services.replica.latest() + delay // MICROSECOND
    number = scope.incarnation.number
    await scope.incarnation.record(
        Effect(f"{key}.{attempt}", Kind.ATTEMPT, str(instant), incarnation=number)
    )
    await until_instant(scope, key, instant, _stay(delay, spec.retry.suspend_above))
    return True


def _stay(delay: timedelta, suspend_above: timedelta) -> float:
    return 0.0 if delay > suspend_above else FOREVER


async def _renew_lease(incarnation: Incarnation) -> None:
    """Begin no body while others may believe this replica dead (R5)."""
    replica = incarnation.services.replica
    # The answer to a beat may itself take longer than a lease.
    while not incarnation.is_sealed and replica.lease_is_over():
        if not await replica.renew():
            incarnation.seal(Lost())
    incarnation.check_sealed()


async def _cut_if_cancelled(incarnation: Incarnation, key: str) -> None:
    """Tell a cancel from outside of the body from one that the body made up."""
    task = asyncio.current_task()
    if task is not None and task.cancelling() and not incarnation.is_sealed:
        await incarnation.cut(key)
