"""Questions as the flow that is asked sees them: messages that are answered in the flow's inbox.

A question is consumed like a message, and what was recorded tells its key too, so that a later run
can answer. The reply is one record, `key.reply`, which also stores it with the message: whoever
asked reads it there, at once or much later. A question that does not pass is refused while the wait
goes on; `key.refused.…` says so until the wait has its answer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

import msgspec

from unbroken.engine.inbox import Search
from unbroken.engine.scope import SCOPE, Scope, is_counted_task
from unbroken.engine.waits import Limit, arrive, deadline_of, is_over, mark_deadline, wait_once
from unbroken.model.errors import QuestionRefused
from unbroken.model.records import Effect, Kind, Message, Reply
from unbroken.stores.batch import Also
from unbroken.stores.store import Question

if TYPE_CHECKING:
    from unbroken.engine.incarnation import Incarnation

NAME = "question:"


class Asked(msgspec.Struct, frozen=True):
    """A question as it is recorded: the key of its message, and what it says."""

    key: str
    value: msgspec.Raw


class Wish(Protocol):
    """Which questions a wait takes."""

    def __call__(self, message: Message) -> bool:
        """Whether the wait takes this message."""
        ...

    def may_be(self, type: str) -> bool:
        """Whether messages of this type may be wanted."""
        ...

    def refusal(self, message: Message) -> Reply | None:
        """Give the refusal of a question that does not pass."""
        ...


async def next_question(
    scope: Scope, key: str, wish: Wish, *, limit: Limit | None, stay: float | None
) -> Effect:
    """Consume the first wanted question that passes; those that do not are refused on the way.

    Gives what is recorded; without a type the deadline won. A question that was sent up to the
    deadline wins over it.
    """
    incarnation = scope.incarnation
    await arrive(scope, key)
    effect = incarnation.recorded(key, Kind.MESSAGE)
    if effect is not None:
        if incarnation.held is not None and effect.digest is not None:
            incarnation.hold(SCOPE.get().prefix, effect.digest)
        return effect
    deadline, has_mark = deadline_of(incarnation, key, limit)
    search = Search(wish, until=deadline, of_type=wish.may_be)
    while True:
        message = incarnation.inbox.take(search)
        if message is not None:
            refusal = wish.refusal(message)
            if refusal is None:
                break
            await _refuse(incarnation, key, message, refusal)
            continue
        if is_over(incarnation, deadline):
            break
        if deadline is not None and not has_mark:
            has_mark = True
            mark_deadline(incarnation, key, deadline)
        await wait_once(scope, key, deadline=deadline, stay=stay, names=None)
    effect = _effect_of(key, message, incarnation.number)
    consumes = () if message is None else (message.position,)
    clears = has_mark or incarnation.has_beneath(key)
    await incarnation.record(effect, consumes=consumes, clears=clears)
    return effect


def _effect_of(key: str, message: Message | None, number: int) -> Effect:
    if message is None:
        return Effect(key, Kind.MESSAGE, "null", incarnation=number)
    asked = Asked(message.key, msgspec.Raw(message.body.encode()))
    return Effect(
        key,
        Kind.MESSAGE,
        msgspec.json.encode(asked).decode(),
        message.type,
        digest=message.position,
        incarnation=number,
    )


def asked_in(effect: Effect) -> Asked:
    """Read what was recorded of a question."""
    return msgspec.json.decode(effect.body, type=Asked)


async def _refuse(incarnation: Incarnation, key: str, message: Message, refusal: Reply) -> None:
    """Consume a question with its refusal; the wait goes on."""
    mark = _mark(incarnation, f"{key}.refused.{message.position}", message.position, refusal)
    also = Also(replies_to=message.position, reply=refusal)
    try:
        await incarnation.record(mark, consumes=(message.position,), also=also)
    except asyncio.CancelledError:
        incarnation.services.look_for_work()
        await incarnation.cut(key)
        raise
    _tell(incarnation, message.key, refusal)


async def reply(scope: Scope, key: str, question: Effect, reply: Reply) -> None:
    """Store a reply with its question, once; on a replay it is there already.

    A cancel of the flow is not raised here: whoever asked is told first.
    """
    incarnation = scope.incarnation
    await arrive(scope, key)
    if not is_counted_task():
        incarnation.adopt_foreign()
    if incarnation.recorded(key, Kind.REPLY) is not None:
        return
    effect = _mark(incarnation, key, question.digest, reply)
    try:
        await incarnation.record(effect, also=Also(replies_to=question.digest, reply=reply))
    except asyncio.CancelledError:
        incarnation.services.look_for_work()  # it is stored, if it could be: a poll finds it
        raise
    _tell(incarnation, asked_in(question).key, reply)


def _mark(incarnation: Incarnation, key: str, position: int | None, reply: Reply) -> Effect:
    """Say that the question at a position has its reply, and of which sort it is."""
    body = '"refused"' if reply.failed else '"answered"'
    return Effect(key, Kind.REPLY, body, digest=position, incarnation=incarnation.number)


def _tell(incarnation: Incarnation, key: str, reply: Reply) -> None:
    """Tell those who wait in this process; the others look at the store."""
    incarnation.services.replies.resolve(Question(incarnation.flow.number, key), reply)


def refuse_unanswered(incarnation: Incarnation) -> None:
    """Refuse, with the write that follows, what the journal is about to forget unanswered.

    Whoever asked would wait for ever: the flow does not end.
    """
    warn_of_unanswered(incarnation)
    text = "the flow continued as new without an answer"
    error = incarnation.services.serializer.encode_exception(QuestionRefused(text))
    refusal = Reply(error, failed=True)
    for key in _unanswered(incarnation):
        position = incarnation.effects[key].digest
        mark = _mark(incarnation, f"{key}.reply", position, refusal)
        incarnation.keep(mark, also=Also(replies_to=position, reply=refusal))


def _unanswered(incarnation: Incarnation) -> list[str]:
    effects = incarnation.effects
    return [
        key
        for key, effect in effects.items()
        if effect.kind == Kind.MESSAGE
        and effect.type is not None
        and key.rpartition("/")[2].startswith(NAME)
        and f"{key}.reply" not in effects
    ]


def warn_of_unanswered(incarnation: Incarnation) -> None:
    """Tell that a flow ended and somebody waited for its answer in vain."""
    unanswered = _unanswered(incarnation)
    if unanswered:
        text = f"it ended without an answer to {', '.join(map(repr, unanswered))}"
        incarnation.emit("flow.unanswered", text, logging.WARNING)
