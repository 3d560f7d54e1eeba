"""Mutants of messages: keys, order, consumption, what a race gives back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.simulation.mutants import grounds
from tests.simulation.mutants.mutant import Mutant, method, nothing, nothing_now, on, sql
from unbroken.engine import racing
from unbroken.engine.inbox import Inbox, Search
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.pulling import Pull
from unbroken.model.records import Effect, Kind, Message
from unbroken.stores.batch import Also

RECORD = Incarnation.record
ADD = Inbox.add
BEHIND = Inbox._behind


def _mark(incarnation: Incarnation, effect: Effect) -> Effect:
    """Make an effect that carries the consumption, of a kind that may stay where it is."""
    return Effect(f"{effect.key}.taken", Kind.CUT, "null", incarnation=incarnation.number)


async def consume_first(self: Incarnation, effect: Effect, **more: Any) -> None:
    """Commit the consumption of messages, and then the effect that tells of it."""
    consumes = more.pop("consumes", ())
    if consumes:
        await RECORD(self, _mark(self, effect), consumes=consumes)
    await RECORD(self, effect, **more)


async def consume_later(self: Incarnation, effect: Effect, **more: Any) -> None:
    """Commit an effect, and then the consumption of its messages."""
    consumes = more.pop("consumes", ())
    await RECORD(self, effect, **more)
    if consumes:
        await RECORD(self, _mark(self, effect), consumes=consumes)


def add_again(self: Inbox, message: Message) -> bool:
    """Take in what was known already."""
    self._seen = min(self._seen, message.position - 1)
    return ADD(self, message)


def newest_first(self: Inbox, search: Search) -> Iterator[Message]:
    """Give the newest message first."""
    return iter(sorted(BEHIND(self, search), key=lambda one: -one.position))


def forget_nothing(*, restores: tuple[int, ...] = (), **_: object) -> Also:
    """Leave what losers have recorded."""
    return Also(restores=restores)


INBOX = on(
    grounds.TALK_OF_THE_DEAF,
    Mutant("a consumed message stays", sql("consume", "consumed = 1", "consumed = consumed")),
    Mutant(
        "keys of messages are not compared",
        sql(
            "insert_message",
            ":key,",
            "CASE substr(:key, 1, 1) WHEN '=' THEN :key || :position ELSE :key END,",
        ),
    ),
    Mutant(
        "a key is forgotten with its message",
        sql("consume", "consumed = 1", "consumed = 1, key = key || ' ' || position"),
    ),
    Mutant(
        "a second message takes the place of the first under its key",
        sql("insert_message", "DO NOTHING", "DO UPDATE SET body = excluded.body"),
    ),
    Mutant(
        "an ended flow takes messages",
        sql(
            "append",
            "WHERE type = :type AND id = :id AND status IN ('live', 'parked')",
            "WHERE type = :type AND id = :id",
        ),
    ),
    Mutant(
        "a message is consumed before its effect is written",
        method(Incarnation, "record", consume_first),
    ),
    Mutant(
        "a message is consumed after its effect is written",
        method(Incarnation, "record", consume_later),
    ),
    Mutant("a message is taken in again", method(Inbox, "add", add_again)),
    Mutant("the newest message is taken first", method(Inbox, "_behind", newest_first)),
    Mutant(
        "an inbox is read backwards",
        sql("pending_of", "n.key, m.position", "n.key, m.position DESC"),
    ),
)

RACES = on(
    grounds.RACES,
    Mutant(
        "what a loser took is not given back", sql("restore", "consumed = 0", "consumed = consumed")
    ),
    Mutant(
        "what a loser took is given back in the store alone", method(racing, "_give_back", nothing)
    ),
    Mutant("what a loser recorded stays", method(racing, "Also", forget_nothing)),
    Mutant("who has won a race is not recorded", method(racing, "_decide", nothing)),
    Mutant(
        "what a stream pulled is not given back",
        method(Pull, "give_back", nothing_now),
        is_slow=True,
    ),
)

MUTANTS = (*INBOX, *RACES)
