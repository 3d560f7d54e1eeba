"""The state that a flow shows to the outside: not an effect, and the last one wins.

A flow that repeats what it did before publishes again what the outside has seen long ago. That must
not turn the view back, so it is held until something new is asked for: the newest is shown then.
"""

from __future__ import annotations

import asyncio
import contextlib

from unbroken.engine.incarnation import Incarnation
from unbroken.engine.outcomes import Lost
from unbroken.engine.scope import Scope
from unbroken.engine.services import Services
from unbroken.model.errors import BatchRefused
from unbroken.serialization.serializer import Payload
from unbroken.stores.store import State


async def publish(scope: Scope, state: Payload) -> None:
    """Store the state and wait for it; while the flow repeats itself, hold it for later.

    Raises `Suspended` if the incarnation is over or not this replica's any more. A cancel of the
    waiting task is raised at once; the transaction goes on.
    """
    incarnation = scope.incarnation
    incarnation.check_open()
    incarnation.keep_state(state.body, state.type)
    if not _may_repeat(scope):
        await _flush(incarnation)


def _may_repeat(scope: Scope) -> bool:
    """Whether the running branch may still be where a former run was, or is certainly beyond.

    It is beyond once it has asked for something that no former run has recorded.
    """
    incarnation = scope.incarnation
    if incarnation.replaying:
        return True
    if incarnation.number == 1 and not incarnation.inbox.counter:
        return False  # nothing can have made it run again
    effects, number = incarnation.effects, incarnation.number
    for name, uses in (scope.counts or {}).items():
        key = scope.prefix + (name if uses == 1 else f"{name}#{uses}")
        effect = effects.get(key)
        if effect.incarnation == number if effect else not incarnation.has_beneath(key):
            return False
    return True


async def _flush(incarnation: Incarnation) -> None:
    """Write what is held, in the order in which it came, and wait for it."""
    parts = incarnation.take_unflushed()
    storing = incarnation.services.committer.submit(*parts, inside=True)
    storing.add_done_callback(lambda done: _judge(incarnation, done))
    with contextlib.suppress(BatchRefused):
        await asyncio.shield(storing)
    incarnation.check_sealed()


def _judge(incarnation: Incarnation, done: asyncio.Future[tuple[object, ...] | None]) -> None:
    """End the incarnation if something of it was not written, also if nobody waits any more."""
    if done.cancelled():
        return
    error = done.exception()
    if isinstance(error, BatchRefused):
        incarnation.park(error)
    elif error is None and ((answers := done.result()) is None or False in answers):
        incarnation.seal(Lost())


async def read_state(services: Services, types: tuple[str, ...], id: str) -> State | None:
    """Read what a flow published last, stored under one of the type's names."""
    services.rest.begin()
    try:
        for type in types:
            state = await services.store.read_state(type, id)
            if state is not None:
                return state
        return None
    finally:
        services.rest.end()
