"""Places in the queues of locks and semaphores, as one flow takes, holds and leaves them.

A flow has one place in each queue, however many *entries* (uses of the lock) share it: all of them
wait for one message, `~granted`, and the last one to leave takes the flow out of the queue. An
entry leaves `key.queued` (in the transaction that queues up), `key` (the place is held, or the
time-out won) and `key.released` (in the transaction that leaves the queue). Who shares a place is
read from the journal, where also those entries stand that a replay has not reached yet.
"""

from __future__ import annotations

import asyncio

import msgspec

from unbroken.engine.cancelling import heed_cancel
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.leaving import leave
from unbroken.engine.scope import Scope
from unbroken.engine.services import Services
from unbroken.engine.waits import (
    Limit,
    arrive,
    deadline_of,
    is_over,
    mark_deadline,
    until_cut_again,
    wait_once,
)
from unbroken.engine.writing import write_together
from unbroken.model import signals
from unbroken.model.errors import AppNotRunning
from unbroken.model.records import Effect, FlowRef, Kind, Message
from unbroken.stores.batch import Also, Answer, Changed, LeavePlace, Record, TakePlace

TIMED_OUT = "null"
GOES_ON_ELSEWHERE = (KeyboardInterrupt, SystemExit, GeneratorExit)


class Entry(msgspec.Struct, frozen=True):
    """One use of a lock or semaphore by a flow."""

    key: str
    queue: str
    limit: int
    timeout: Limit | None = None
    stay: float | None = None


class Turn:
    """A flow's stay in one queue: the message that ends the wait, and the entries that share it."""

    __slots__ = ("entries", "has_come", "message")

    def __init__(self, message: str) -> None:
        self.message = message
        self.entries: set[str] = set()
        self.has_come = False


class Places:
    """The turns of one flow that are not over, by the name that their entries' keys end with."""

    __slots__ = ("_turns",)

    def __init__(self, effects: dict[str, Effect]) -> None:
        self._turns: dict[str, Turn] = {}
        for effect in effects.values():
            key, _, mark = _divided(effect.key)
            if effect.kind == Kind.LOCK and mark != "released" and not _is_done(effects, key):
                message = msgspec.json.decode(effect.body, type=str)
                turn = self._turns.setdefault(_name_of(key), Turn(message))
                turn.entries.add(key)
                turn.has_come = turn.has_come or not mark

    def find(self, key: str) -> Turn | None:
        """Give the turn that an entry may share."""
        return self._turns.get(_name_of(key))

    def begin(self, key: str, message: str) -> Turn:
        """A flow queues up."""
        turn = self._turns[_name_of(key)] = Turn(message)
        return turn

    def leave(self, key: str) -> Turn | None:
        """An entry is over; give its turn if no other entry shares it."""
        turn = self._turns[_name_of(key)]
        turn.entries.discard(key)
        return None if turn.entries else self._turns.pop(_name_of(key))


def _divided(key: str) -> tuple[str, str, str]:
    """Divide a key of ours into the entry's and the mark beneath it, if there is one."""
    above, slash, last = key.rpartition("/")
    own, dot, mark = last.partition(".")
    return above + slash + own, dot, mark


def _name_of(key: str) -> str:
    return key.rpartition("/")[2].partition("#")[0]


def _is_done(effects: dict[str, Effect], key: str) -> bool:
    own = effects.get(key)
    return f"{key}.released" in effects or (own is not None and own.body == TIMED_OUT)


def void_entries(incarnation: Incarnation) -> tuple[str, ...]:
    """Give the entries whose places go with the end of a run that another one may follow.

    That one has to queue up again before it does again what stood behind them. Time-outs stay.
    """
    effects = incarnation.effects
    keys = dict.fromkeys(_divided(e.key)[0] for e in effects.values() if e.kind == Kind.LOCK)
    return tuple(key for key in keys if key not in effects or effects[key].body != TIMED_OUT)


async def enter(scope: Scope, entry: Entry) -> None:
    """Hold a place in a queue: wait until it is this flow's turn, unless it holds one already.

    Raises TimeoutError if the limit is reached before, FlowCancelled if a cancel was asked for;
    after these, and after a cut, the flow stands in the queue no more.
    """
    try:
        await _enter(scope, entry)
    except BaseException as error:
        if f"{entry.key}.queued" in scope.incarnation.effects:
            await release(scope, entry, error)
        raise


async def _enter(scope: Scope, entry: Entry) -> None:
    incarnation, key = scope.incarnation, entry.key
    await arrive(scope, key)
    effect = incarnation.recorded(key, Kind.LOCK)
    if effect is None:
        await heed_cancel(scope, key)
        turn = await _queue_up(incarnation, entry)
        effect = await _wait_for(scope, entry, turn)
    if effect.body == TIMED_OUT:
        text = f"{entry.queue!r} was held by others until the time-out"
        raise incarnation.blame(key, TimeoutError(text))


async def _queue_up(incarnation: Incarnation, entry: Entry) -> Turn:
    """Stand in the queue, or beside an entry of this flow that stands there already."""
    key, places = entry.key, _places_of(incarnation)
    turn = places.find(key)
    if turn is not None and key in turn.entries:
        return turn
    if turn is not None:
        turn.entries.add(key)
        if not turn.has_come:
            queued = _effect(incarnation, f"{key}.queued", turn.message)
            incarnation.remember(queued)
            incarnation.queue_and_go_on(queued)
        return turn
    turn = places.begin(key, f"~{incarnation.number}:{key}")
    turn.entries.add(key)
    queued = _effect(incarnation, f"{key}.queued", turn.message)
    flow, number = incarnation.flow, incarnation.number
    taken = TakePlace(flow, number, entry.queue, turn.message, entry.limit)
    try:
        await write_together(incarnation, Record(flow.number, number, queued), taken)
    except asyncio.CancelledError:
        await incarnation.cut(key)
        raise
    return turn


async def _wait_for(scope: Scope, entry: Entry, turn: Turn) -> Effect:
    """Wait until the place is held, or the time is over; record which, and give it."""
    incarnation, key = scope.incarnation, entry.key
    deadline, has_mark = deadline_of(incarnation, key, entry.timeout)
    while True:
        if turn.has_come:
            return _hold(incarnation, key, turn, None)
        message = incarnation.inbox.take_named(turn.message)
        # What comes at once is never too late: then there is no mark yet.
        limit = deadline if has_mark else None
        if message is not None and (limit is None or message.sent_at <= limit):
            return _hold(incarnation, key, turn, message)
        if message is not None or is_over(incarnation, deadline):
            return await _give_up(incarnation, entry, message)
        if deadline is not None and not has_mark:
            has_mark = True
            mark_deadline(incarnation, key, deadline)
        names = frozenset((turn.message,))
        await wait_once(scope, key, deadline=deadline, stay=entry.stay, names=names)


def _hold(incarnation: Incarnation, key: str, turn: Turn, message: Message | None) -> Effect:
    """Record that the place is held and go on at once: a replay finds the message or this."""
    turn.has_come = True
    effect = _effect(incarnation, key, turn.message, message)
    consumes = () if message is None else (message.position,)
    # Not all beneath: `key.released` may follow in the same transaction.
    done_with = (f"{key}.queued", f"{key}.due") if incarnation.has_beneath(key) else ()
    incarnation.remember(effect)
    incarnation.queue_and_go_on(
        effect, consumes=consumes, also=Also(forgets=done_with) if done_with else None
    )
    return effect


async def _give_up(incarnation: Incarnation, entry: Entry, message: Message | None) -> Effect:
    """Record the time-out; it takes the flow out of the queue, unless another entry waits on."""
    if _places_of(incarnation).leave(entry.key) is None:
        if message is not None:
            incarnation.inbox.give_back([message])
        effect = _effect(incarnation, entry.key, None)
        await incarnation.record(effect, clears=True)
        return effect
    effect = _effect(incarnation, entry.key, None, message)
    consumes = () if message is None else (message.position,)
    flow, number = incarnation.flow, incarnation.number
    record = Record(flow.number, number, effect, consumes, clears=True)
    try:
        await write_together(incarnation, record, LeavePlace(flow, number, entry.queue))
    except asyncio.CancelledError:
        await incarnation.cut(entry.key)
        raise
    return effect


async def release(scope: Scope, entry: Entry, error: BaseException | None) -> None:
    """Leave at the end of an entry; the last one of its turn takes the flow out of the queue.

    Does nothing if the flow leaves memory or its process ends: it still holds its place. Done once,
    whatever comes.
    """
    incarnation, key = scope.incarnation, entry.key
    if error is not None and (signals.is_signal(error) or isinstance(error, GOES_ON_ELSEWHERE)):
        return
    if incarnation.is_sealed:
        if error is None:
            await leave(incarnation)
        return
    released = f"{key}.released"
    if incarnation.was_cut(released):
        await until_cut_again(scope, released)
    own = incarnation.effects.get(key)
    if own is not None and own.body == TIMED_OUT:
        return
    if incarnation.recorded(released, Kind.LOCK) is not None:
        return
    turn = _places_of(incarnation).leave(key)
    if turn is None:
        await incarnation.record(_effect(incarnation, released, None))
        return
    message = incarnation.inbox.take_named(turn.message)
    effect = _effect(incarnation, released, None, message)
    consumes = () if message is None else (message.position,)
    flow, number = incarnation.flow, incarnation.number
    record = Record(flow.number, number, effect, consumes)
    try:
        (left,) = await write_together(incarnation, record, LeavePlace(flow, number, entry.queue))
    except asyncio.CancelledError:
        await incarnation.cut(released)
        raise
    if isinstance(left, Changed) and left.answer is Answer.REFUSED:
        incarnation.emit("lock.was_released", f"{entry.queue!r}: its place was taken from the flow")


async def force_out(services: Services, flow: FlowRef, queue: str) -> None:
    """Take a flow out of a queue, whoever runs it, and let the next ones in."""
    storing = services.committer.submit(LeavePlace(flow, None, queue), inside=False)
    storing.add_done_callback(lambda done: _hand_on(services, done))
    if await asyncio.shield(storing) is None:
        raise AppNotRunning("the app was stopped before the place was freed")


def _hand_on(services: Services, done: asyncio.Future[tuple[object, ...] | None]) -> None:
    if done.cancelled() or done.exception() is not None:
        return
    for answer in done.result() or ():
        for appended, message in answer.granted if isinstance(answer, Changed) else ():
            services.deliver(appended, message)


def _effect(
    incarnation: Incarnation, key: str, turn: str | None, message: Message | None = None
) -> Effect:
    """Make an effect of an entry; its type says whether it consumes the message."""
    body = msgspec.json.encode(turn).decode()
    type_name, position = (message.type, message.position) if message is not None else (None, None)
    number = incarnation.number
    return Effect(key, Kind.LOCK, body, type_name, digest=position, incarnation=number)


def _places_of(incarnation: Incarnation) -> Places:
    if incarnation.places is None:
        incarnation.places = Places(incarnation.effects)
    return incarnation.places
