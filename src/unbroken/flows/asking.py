"""Questions from outside: put into a flow's inbox, and waited for until the reply is stored."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TypeVar

from unbroken.engine.completions import Ended
from unbroken.engine.engine import Engine
from unbroken.engine.flow_type import FlowType
from unbroken.engine.scope import SCOPE
from unbroken.flows.awaiting import in_time
from unbroken.flows.messages import to_message
from unbroken.flows.values import as_class, check_class
from unbroken.flows.waits import is_duration
from unbroken.model.errors import FlowEnded, FlowNotFound, FlowParked, UsageError
from unbroken.model.ids import check_id
from unbroken.model.records import Delivery, FlowRef, Reply, Status
from unbroken.serialization.serializer import Payload
from unbroken.stores.batch import Appended, NewMessage
from unbroken.stores.store import Question

A = TypeVar("A")


async def ask(
    engine: Engine,
    flow_type: FlowType,
    id: str,
    question: object,
    cls: type[A],
    key: str | None,
    timeout: timedelta | None,
) -> A:
    """Put a question to a flow and wait for its answer; see `Flows.ask`."""
    _check_outside()
    check_class(cls, "ask(id, question, …)")
    if timeout is not None and not is_duration(timeout):
        raise TypeError("ask(…): timeout must be a timedelta")
    new = to_message(engine, question, key)
    late = f"the flow {id!r} did not answer within {timeout}; the question stays with it"
    asking = _ask(engine, flow_type, check_id(id), new)
    return _answer_of(engine, await in_time(engine, asking, timeout, late), cls)


def _check_outside() -> None:
    scope = SCOPE.get(None)
    if scope is not None and scope.body_of is None:
        raise UsageError(
            "ask(…) inside a flow would not be recorded: write "
            'capture("ask", orders.ask, id, question, Answer), and give it a key'
        )


async def _ask(engine: Engine, flow_type: FlowType, id: str, new: NewMessage) -> Reply:
    for name in (flow_type.name, *flow_type.aliases):
        asking = _Asking(engine, new.key)
        try:
            appended = await engine.put_question(name, id, new, asking.begin)
            if appended.flow is not None:
                return await asking.reply(appended.flow, appended)
        finally:
            asking.end()
    raise FlowNotFound(f"no flow {flow_type.name!r} has the id {id!r}")


def _answer_of(engine: Engine, reply: Reply, cls: type[A]) -> A:
    serializer = engine.services.serializer
    if reply.failed:
        raise serializer.rebuild_exception(reply.body)
    return as_class(serializer, Payload(reply.type, reply.body), cls)


class _Asking:
    """One caller's wait: for the reply, or for the flow's end. It begins before the flow hears."""

    def __init__(self, engine: Engine, key: str) -> None:
        self._engine = engine
        self._key = key
        self._is_over = False
        self._waits: tuple[Question, asyncio.Future[Reply], asyncio.Future[Ended]] | None = None

    def begin(self, appended: object) -> None:
        """The question is stored."""
        if isinstance(appended, Appended) and appended.flow is not None and not self._is_over:
            place = Question(appended.flow.number, self._key)
            replied = self._engine.services.replies.wait_for(place)
            self._waits = (place, replied, self._engine.completions.wait_for(place.flow))

    def end(self) -> None:
        """Stop waiting."""
        self._is_over = True
        if self._waits is not None:
            place, replied, ended = self._waits
            self._engine.services.replies.forget(place, replied)
            self._engine.completions.forget(place.flow, ended)

    async def reply(self, flow: FlowRef, appended: Appended) -> Reply:
        """Wait for the reply. Raises FlowEnded, or FlowParked, if there is none at the end."""
        assert self._waits is not None, "the store has answered"
        place, replied, ended = self._waits
        if Delivery.ACCEPTED not in appended.deliveries:
            if (stored := await self._stored(place)) is not None:
                return stored
            if Delivery.FLOW_ENDED in appended.deliveries:
                raise await self._how_it_ended(flow)
        if appended.owner != self._engine.services.replica.id:
            self._engine.poller.look()
        await asyncio.wait((replied, ended), return_when=asyncio.FIRST_COMPLETED)
        if replied.done():
            return replied.result()
        outcome = ended.result().outcome
        if (stored := await self._stored(place)) is not None:
            return stored
        raise self._ending_error(flow, outcome.status, outcome.error)

    async def _stored(self, place: Question) -> Reply | None:
        services = self._engine.services
        services.rest.begin()
        try:
            return await services.store.read_reply(place)
        finally:
            services.rest.end()

    async def _how_it_ended(self, flow: FlowRef) -> FlowEnded | FlowParked:
        found = await self._engine.find(flow.type, flow.id)
        if found is None:
            return FlowEnded(flow.id)
        return self._ending_error(flow, found.status, found.error)

    def _ending_error(
        self, flow: FlowRef, status: Status, error: str | None
    ) -> FlowEnded | FlowParked:
        if status is Status.PARKED and error is not None:
            return FlowParked(flow.id, self._engine.services.serializer.error_info(error))
        return FlowEnded(flow.id)
