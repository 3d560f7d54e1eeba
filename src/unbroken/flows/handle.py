"""The typed handle of one flow type: start, await, send, list.

The id comes first and by position only, so a flow may have an `id` of its own among its arguments.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, TypeVar

import msgspec

from unbroken.engine.engine import Engine
from unbroken.engine.flow_type import FlowType
from unbroken.engine.scope import SCOPE
from unbroken.engine.waits import Limit
from unbroken.flows.awaiting import await_outcome
from unbroken.flows.children import Child
from unbroken.flows.messages import Envelope, MessageWriter, to_message
from unbroken.flows.results import result_of
from unbroken.flows.scheduled import Scheduled
from unbroken.flows.waits import aware_instant, is_duration
from unbroken.model.clock import MICROSECOND, moment_of
from unbroken.model.errors import FlowNotFound, NotRegistered, ParamIgnored, UsageError
from unbroken.model.ids import check_id
from unbroken.model.records import Delivery, FlowRef, Status
from unbroken.stores.batch import Start as StartFlow
from unbroken.stores.batch import Started

P = ParamSpec("P")
R = TypeVar("R")

BULK_PAGE = 1000


class Start(Generic[P, R]):
    """A flow prepared to be started in bulk; its arguments are encoded and checked."""

    __slots__ = ("id", "param", "type")

    def __init__(self, type: str, id: str, param: str) -> None:
        self.type = type
        self.id = id
        self.param = param

    def __repr__(self) -> str:
        return f"Start({self.type!r}, {self.id!r})"


class FlowInfo(msgspec.Struct, frozen=True):
    """One flow in a list."""

    number: int
    id: str
    status: Status
    created_at: datetime
    ended_at: datetime | None
    due_at: datetime | None
    owner: str | None


class Options(msgspec.Struct, frozen=True):
    """What a handle adds to a start."""

    detached: bool = False
    strict: bool = False


class Flows(Generic[P, R]):
    """All flows of one type."""

    def __init__(self, flow_type: FlowType, engine: Callable[[], Engine], options: Options) -> None:
        self._type = flow_type
        self._engine = engine
        self._options = options

    @property
    def name(self) -> str:
        """The stored name of the flow type."""
        return self._type.name

    def run(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[object, object, R]:
        """Start a flow and wait for its result; an id that exists is attached to instead.

        Raises FlowFailed, FlowCancelled or FlowParked if it ended so; InvalidId and the
        SerializationError family before anything is written. Inside a flow it starts a child.
        """
        child = self._child(id, args, kwargs)
        return self._run(id, args, kwargs) if child is None else child.run()

    async def _run(self, id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        engine = self._engine()
        started = await self._start(engine, id, args, kwargs, None)
        return await self._await(engine, started, None)

    def schedule(
        self, id: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[object, object, Scheduled[R]]:
        """Start a flow and return once it is stored; it runs here or in another process."""
        child = self._child(id, args, kwargs)
        return self._schedule(id, args, kwargs, None) if child is None else child.schedule()

    def schedule_at(
        self, id: str, when: datetime, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[object, object, Scheduled[R]]:
        """Store a flow that begins at a moment; the moment must be aware of its time zone."""
        return self._schedule(id, args, kwargs, Limit(aware_instant(when, "schedule_at(…)")))

    def schedule_in(
        self, id: str, delay: timedelta, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[object, object, Scheduled[R]]:
        """Store a flow that begins after a delay."""
        if not is_duration(delay):
            raise TypeError("schedule_in(id, delay, …): the delay is a timedelta")
        return self._schedule(id, args, kwargs, Limit(delay // MICROSECOND, is_relative=True))

    def prepare(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> Start[P, R]:
        """Check and encode a start for `bulk_schedule`, without writing anything."""
        return Start(self._type.name, check_id(id), self._type.encode(args, kwargs))

    async def bulk_schedule(self, starts: Iterable[Start[P, R]], /) -> int:
        """Store many flows in few transactions; give how many are new. Existing ids are skipped."""
        engine = self._engine()
        now = engine.services.replica.now()
        page: list[StartFlow] = []
        created = 0
        for start in starts:
            self._check_own(start)
            page.append(StartFlow(start.type, start.id, start.param, due_at=now))
            if len(page) == BULK_PAGE:
                created += _created(await engine.start_flows(page))
                page = []
        if page:
            created += _created(await engine.start_flows(page))
        engine.poller.look()
        return created

    def options(self, *, detached: bool = False, strict: bool = False) -> Flows[P, R]:
        """Give the same handle with other options.

        `detached`: a start inside a flow makes no child. `strict`: ParamIgnored is raised, not
        warned.
        """
        return Flows(self._type, self._engine, Options(detached, strict))

    async def completion(self, id: str, /, *, timeout: timedelta | None = None) -> R:
        """Wait for the result of a flow that was started earlier, here or elsewhere.

        Raises FlowNotFound, and TimeoutError after `timeout`, which leaves the flow as it is.
        """
        engine = self._engine()
        found = await engine.find(self._type.name, check_id(id))
        if found is None:
            raise FlowNotFound(f"no flow {self._type.name!r} has the id {id!r}")
        ended = None if found.status == Status.LIVE else found
        started = Started(found.flow, created=False, outcome=ended)
        result: R = await self._await(engine, started, timeout)
        return result

    async def send_message(
        self,
        id: str,
        message: object,
        /,
        *,
        key: str | None = None,
        start: Start[P, R] | None = None,
    ) -> Delivery:
        """Put a message into a flow's inbox; it is consumed once.

        Equal keys are one message for as long as the flow exists. Never raises for an absent or
        ended flow: the answer says so. `start` (from `prepare`, for the same id) makes an absent
        flow in the same transaction.
        """
        engine = self._engine()
        new = to_message(engine, message, key)
        first = None if start is None else self._first(start, check_id(id), engine)
        (delivery,) = await engine.append(self._type.name, check_id(id), [new], first)
        return delivery

    def _first(self, start: Start[P, R], id: str, engine: Engine) -> StartFlow:
        self._check_own(start)
        if start.id != id:
            raise UsageError(
                f"the message goes to {id!r}, but {start!r} was prepared for another id"
            )
        return StartFlow(start.type, id, start.param, due_at=engine.services.replica.now())

    def _check_own(self, start: Start[P, R]) -> None:
        if start.type != self._type.name:
            raise NotRegistered(
                f"{start!r} was prepared by the handle of {start.type!r}, this is the one of "
                f"{self._type.name!r}"
            )

    async def send_messages(self, envelopes: Sequence[Envelope], /) -> list[Delivery]:
        """Send many messages in few transactions; the answers come in their order."""
        return await MessageWriter.send_many(self._engine(), self._type.name, envelopes)

    def message_writer(self, id: str, /) -> MessageWriter:
        """Give something that appends to one flow's inbox."""
        return MessageWriter(self._engine, self._type.name, check_id(id))

    # starting and awaiting

    def _child(self, id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Child | None:
        scope = SCOPE.get(None)
        if scope is None or self._options.detached:
            return None
        if scope.incarnation.services is not self._engine().services:
            return None
        return Child.of(self._type.name, id, args, kwargs)

    async def _schedule(
        self,
        id: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        begin: Limit | None,
    ) -> Scheduled[R]:
        engine = self._engine()
        started = await self._start(engine, id, args, kwargs, begin)

        async def completion(timeout: timedelta | None) -> Any:
            return await self._await(self._engine(), started, timeout)  # after a restart another

        return Scheduled(id, completion)

    async def _start(
        self,
        engine: Engine,
        id: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        begin: Limit | None,
    ) -> Started:
        param = self._type.encode(args, kwargs)
        now = engine.services.replica.now()
        due_at = now if begin is None else begin.from_now(engine.services.replica)
        owned = due_at <= now and engine.may_run_here()
        start = StartFlow(
            self._type.name, check_id(id), param, None if owned else due_at, owned=owned
        )
        started = await engine.start_flow(start)
        if not started.same_param:
            self._say_ignored(started.flow)
        return started

    def _say_ignored(self, flow: FlowRef) -> None:
        text = (
            f"the flow {flow.type} {flow.id!r} exists with other arguments; these are ignored and "
            "the caller is attached to it"
        )
        if self._options.strict:
            raise ParamIgnored(text)
        warnings.warn(text, ParamIgnored, stacklevel=4)

    async def _await(self, engine: Engine, started: Started, timeout: timedelta | None) -> Any:
        outcome, live = await await_outcome(engine, started, timeout)
        return result_of(outcome, self._type.returns, engine.services.serializer, live)

    # `list` comes last: it hides the builtin in what follows it in the class body.
    async def list(self, *statuses: Status, after: int = 0, limit: int = 100) -> Sequence[FlowInfo]:
        """List flows in the order of their creation, those after the number `after`."""
        views = await self._engine().services.store.list_flows(
            self._type.name, statuses, after, limit
        )
        return [
            FlowInfo(
                view.flow.number,
                view.flow.id,
                view.status,
                moment_of(view.created_at),
                None if view.ended_at is None else moment_of(view.ended_at),
                None if view.due_at is None else moment_of(view.due_at),
                view.owner,
            )
            for view in views
        ]


def _created(answers: Iterable[Started]) -> int:
    return sum(1 for answer in answers if answer.created)
