"""The race: branches side by side, of which only the first that ends remains.

The others are cancelled and seen to their end; then one record says who has won, and takes with it,
in its transaction, all that the losers had recorded: messages that they held are pending again,
their children go by policy. A replay runs the winner alone, and the others never begin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping, Sequence

import msgspec

from unbroken.engine.branches import check_signal, run_branches
from unbroken.engine.cancelling import cancel_of, live_children
from unbroken.engine.consumed import positions_of
from unbroken.engine.incarnation import Cancel, Incarnation
from unbroken.engine.leaving import leave
from unbroken.engine.scope import Scope
from unbroken.engine.unawaited import Unawaited, let_go
from unbroken.engine.waits import until_cut_again
from unbroken.engine.writing import write_together
from unbroken.model.errors import ReplayMismatch, StoreError, StoreUnavailable
from unbroken.model.records import Effect, Kind, Message
from unbroken.stores.batch import Also, Record


class Contender:
    """One branch of a race, and the keys under which it records."""

    def __init__(self, incarnation: Incarnation, prefix: str, branch: Awaitable[object]) -> None:
        self.branch = branch
        self.prefix = prefix
        self.unawaited = Unawaited(incarnation, branch)
        self.keys = (prefix.removesuffix("/"), *self.unawaited.keys)


class Taken(msgspec.Struct, frozen=True):
    """What losers had taken from their flow, to be given back: messages, and a cancel."""

    positions: tuple[int, ...] = ()
    cancel: Cancel | None = None


async def race(scope: Scope, key: str, branches: Sequence[Awaitable[object]]) -> tuple[int, object]:
    """Run branches until the first ends; give its index and value, or raise what it raises."""
    incarnation = scope.incarnation
    incarnation.is_awaited(key)
    if not incarnation.is_open():
        let_go(incarnation, branches)
        await leave(incarnation)
    if incarnation.was_cut(key):
        let_go(incarnation, branches)
        _read_beneath(incarnation, key)
        await until_cut_again(scope, key)
    contenders = [
        Contender(incarnation, f"{key}/{index}/", branch) for index, branch in enumerate(branches)
    ]
    try:
        if key in incarnation.effects:
            return await _replay(incarnation, key, contenders)
        return await _run(incarnation, key, contenders)
    except asyncio.CancelledError:
        if _is_cancelled_from_outside():
            await incarnation.cut(key)
        raise


async def _replay(
    incarnation: Incarnation, key: str, contenders: Sequence[Contender]
) -> tuple[int, object]:
    """Run the recorded winner alone: what it recorded brings its value or error back."""
    decision = incarnation.recorded(key, Kind.RACE)
    winner = int(decision.body) if decision is not None else 0
    if winner >= len(contenders):
        found = f"branch {winner + 1} as the winner"
        for contender in contenders:
            contender.unawaited.let_go()
        raise incarnation.park(ReplayMismatch(key, f"a race of {len(contenders)}", found))
    _let_losers_go(contenders, winner)
    contender = contenders[winner]
    (task,), _ = await run_branches(incarnation, {contender.prefix: contender.branch})
    check_signal(incarnation, (task,))
    return winner, task.result()


async def _run(
    incarnation: Incarnation, key: str, contenders: Sequence[Contender]
) -> tuple[int, object]:
    """Find the winner, record it, and give the losers' messages back."""
    followed = [key for contender in contenders for key in contender.keys]
    for one in followed:
        incarnation.follow(one)
    incarnation.begin_race()
    try:
        branches = {one.prefix: one.branch for one in contenders}
        tasks, first = await run_branches(incarnation, branches, any_ends=True)
        check_signal(incarnation, tasks)
        winner = first[0]
        _let_losers_go(contenders, winner)
        losers = [one for one in contenders if one is not contenders[winner]]
        await _decide(incarnation, key, winner, losers)
    finally:
        incarnation.end_race()
        for one in followed:
            incarnation.unfollow(one)
    return winner, tasks[winner].result()


async def _decide(
    incarnation: Incarnation, key: str, winner: int, losers: Sequence[Contender]
) -> None:
    """Record who has won, and drop what the losers left, in one transaction."""
    keys = tuple(one for loser in losers for one in loser.keys)
    dropped: dict[str, Effect] = {}
    for one in keys:
        dropped |= incarnation.drop(one)
    keys += _drop_cuts(incarnation, keys)
    taken = _taken(incarnation, dropped, keys)
    # An outer race must not give it back a second time.
    incarnation.release_held(tuple(f"{one}/" for one in keys))
    cancelled_at = taken.cancel.position if taken.cancel is not None else None
    restores = taken.positions if cancelled_at is None else (*taken.positions, cancelled_at)
    effect = Effect(key, Kind.RACE, str(winner), incarnation=incarnation.number)
    also = Also(forgets=keys, restores=restores) if keys else None
    record = Record(incarnation.flow.number, incarnation.number, effect, also=also)
    cancels = [cancel_of(ref) for ref in live_children(dropped)]
    try:
        await write_together(incarnation, record, *cancels)
    except asyncio.CancelledError:
        await incarnation.cut(key)  # its commit comes after that of the decision
        await _give_back(incarnation, taken)
        raise
    await _give_back(incarnation, taken)


def _drop_cuts(incarnation: Incarnation, keys: Sequence[str]) -> tuple[str, ...]:
    """Forget where losers were cut that waited under a key from before, like a child's end."""
    cuts = {
        thing
        for thing in _held_beneath(incarnation, keys)
        if isinstance(thing, str) and thing.endswith(".cut") and thing in incarnation.effects
    }
    for cut in cuts:
        incarnation.follow(cut)
        incarnation.drop(cut)
        incarnation.unfollow(cut)
    return tuple(sorted(cuts))


def _held_beneath(incarnation: Incarnation, keys: Sequence[str]) -> list[int | str]:
    prefixes = tuple(f"{key}/" for key in keys)
    return [thing for prefix, thing in incarnation.held or () if prefix.startswith(prefixes)]


def _taken(incarnation: Incarnation, dropped: Mapping[str, Effect], keys: Sequence[str]) -> Taken:
    """Take from the losers what they held; a message on its way to one counts the same."""
    held = {thing for thing in _held_beneath(incarnation, keys) if isinstance(thing, int)}
    cancel: Cancel | None = None
    for effect in dropped.values():
        held.update(positions_of(effect))
        if effect.kind == Kind.CANCEL and _is_unheard_without(incarnation, dropped):
            cancel = Cancel(effect.digest)
    # Who asked has heard the reply: such a question is not asked again.
    held.difference_update(one.digest for one in dropped.values() if one.kind == Kind.REPLY)
    return Taken(tuple(sorted(held)), cancel)


def _is_unheard_without(incarnation: Incarnation, dropped: Mapping[str, Effect]) -> bool:
    """Whether the flow's cancel was raised nowhere but in what is dropped."""
    at = incarnation.cancelled_at
    return at is None or f"{at}.cancel" in dropped


async def _give_back(incarnation: Incarnation, taken: Taken) -> None:
    """Let the flow's other waits see again what the losers held; a cancel waits until they do."""
    if taken.cancel is not None:
        incarnation.cancelled_at = None
        incarnation.ask_to_cancel(taken.cancel)
    messages: list[Message] | None = None if taken.positions else []
    cancelled: asyncio.CancelledError | None = None
    while messages is None:
        try:
            messages = await _read_pending(incarnation, frozenset(taken.positions))
        except asyncio.CancelledError as error:
            cancelled = error
    incarnation.inbox.give_back(messages)
    for message in messages:
        incarnation.wake_for(frozenset((message.type, message.key)))
    if cancelled is not None:
        raise cancelled


async def _read_pending(incarnation: Incarnation, positions: Collection[int]) -> list[Message]:
    """Read the messages of these positions from the store."""
    services = incarnation.services
    backoff = services.backoff()
    while True:
        incarnation.check_sealed()
        try:
            found = await services.store.load(services.replica.id, [incarnation.flow.number])
        except StoreUnavailable as error:
            services.replica.report_unavailable(error)
            await backoff.pause()
        except StoreError as error:
            raise incarnation.park(error) from None
        else:
            return [one for flow in found for one in flow.messages if one.position in positions]


def _let_losers_go(contenders: Sequence[Contender], winner: int) -> None:
    needed = contenders[winner].unawaited.coroutines
    for index, contender in enumerate(contenders):
        if index != winner:
            contender.unawaited.let_go(but=needed)


def _read_beneath(incarnation: Incarnation, key: str) -> None:
    for one in incarnation.effects:
        if one.startswith(f"{key}/"):
            incarnation.read(one)


def _is_cancelled_from_outside() -> bool:
    """Tell a cancel of this task from a CancelledError that the winner raised."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
