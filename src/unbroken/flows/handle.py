"""The typed handle of one flow type: start, await, send, list.

The id comes first and by position only, so a flow may have an `id` of its own among its arguments.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, TypeVar

import msgspec

from unbroken.engine.cancelling import cancel_message
from unbroken.engine.engine import Engine
from unbroken.engine.events import Event
from unbroken.engine.flow_type import FlowType
from unbroken.engine.scope import SCOPE
from unbroken.engine.states import read_state
from unbroken.engine.waits import Limit
from unbroken.flows.asking import ask
from unbroken.flows.awaiting import await_outcome
from unbroken.flows.children import CancelPolicy, Child, policy_of
from unbroken.flows.correlation import route
from unbroken.flows.former_names import find_flow, stored_type
from unbroken.flows.initial import InitialState
from unbroken.flows.messages import Envelope, MessageWriter, to_message
from unbroken.flows.panel import ControlPanel
from unbroken.flows.results import result_of
from unbroken.flows.same_arguments import mean_the_same
from unbroken.flows.scheduled import Scheduled
from unbroken.flows.starts import FlowInfo, Options, Start, count_created, info_of, new_start
from unbroken.flows.values import as_class, check_class
from unbroken.flows.waits import aware_instant, is_duration
from unbroken.model.clock import MICROSECOND
from unbroken.model.errors import FlowNotFound, NotRegistered, ParamIgnored, UsageError
from unbroken.model.ids import check_id
from unbroken.model.records import Delivery, FlowRef, Status
from unbroken.serialization.serializer import Payload
from unbroken.stores.batch import Start as StartFlow
from unbroken.stores.batch import Started

P = ParamSpec("P")
A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")

BULK_PAGE = 1000


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
        """Check and encode a start for `bulk_schedule`, without writing anything.

        With an initial state, whose messages need keys, the app must be running.
        """
        return Start(self._new(id, args, kwargs))

    async def bulk_schedule(self, starts: Iterable[Start[P, R]], /) -> int:
        """Store many flows in few transactions; give how many are new. Existing ids are skipped."""
        engine = self._engine()
        now = engine.services.replica.now()
        page: list[StartFlow] = []
        created = 0
        for start in starts:
            self._check_own(start)
            page.append(start.at(now))
            if len(page) == BULK_PAGE:
                created += count_created(await engine.start_flows(page))
                page = []
        if page:
            created += count_created(await engine.start_flows(page))
        engine.poller.look()
        return created

    def options(
        self,
        *,
        initial: InitialState | None = None,
        detached: bool = False,
        strict: bool = False,
        on_cancel: CancelPolicy = "cancel",
    ) -> Flows[P, R]:
        """Give the same handle with other options.

        `initial`: what a flow that is started finds before its first line. `detached`: a start
        inside a flow makes no child. `strict`: ParamIgnored is raised, not warned. `on_cancel`:
        what the cancel of its parent does to a child: "cancel" cancels it too, "wait" lets the
        parent's wait for it go on to its end first, "leave" lets it go on alone.
        """
        options = Options(detached, strict, policy_of(on_cancel), initial)
        return Flows(self._type, self._engine, options)

    async def completion(self, id: str, /, *, timeout: timedelta | None = None) -> R:
        """Wait for the result of a flow that was started earlier, here or elsewhere.

        Raises FlowNotFound, and TimeoutError after `timeout`, which leaves the flow as it is.
        """
        engine = self._engine()
        found = await find_flow(engine, self._type, check_id(id))
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

        Equal keys are one message for as long as the flow exists (one that continues as new knows
        those of its present and its former run). Never raises for an absent or
        ended flow: the answer says so. A parked one takes it and finds it when it goes on. `start`
        (from `prepare`, for the same id) makes an absent flow in the same transaction.
        """
        engine = self._engine()
        new = to_message(engine, message, key)
        first = None if start is None else self._first(start, check_id(id), engine)
        stored = await stored_type(engine, self._type, check_id(id))
        (delivery,) = await engine.append(stored, id, [new], first)
        return delivery

    def _first(self, start: Start[P, R], id: str, engine: Engine) -> StartFlow:
        self._check_own(start)
        if start.id != id:
            raise UsageError(
                f"the message goes to {id!r}, but {start!r} was prepared for another id"
            )
        return start.at(engine.services.replica.now())

    def _check_own(self, start: Start[P, R]) -> None:
        if start.type != self._type.name:
            raise NotRegistered(
                f"{start!r} was prepared by the handle of {start.type!r}, this is the one of "
                f"{self._type.name!r}"
            )

    async def send_messages(self, envelopes: Sequence[Envelope], /) -> list[Delivery]:
        """Send many messages in few transactions; the answers come in their order."""
        return await MessageWriter.send_many(self._engine(), self._type, envelopes)

    async def route_message(
        self, message: object, correlation: str, /, *, key: str | None = None
    ) -> list[Delivery]:
        """Send a message to every flow of this type that registered a correlation id by now.

        One answer for each flow, parked ones too, oldest first; none if there is no such flow.
        Equal keys are one message in each of them, so it may be sent again. Raises InvalidId for a
        bad id or key.
        """
        return await route(self._engine(), self._type, message, correlation, key)

    async def cancel(self, id: str, /) -> Delivery:
        """Ask a flow to cancel itself: FlowCancelled is raised at its next use of the engine.

        A waiting flow is woken, a body that runs ends first; then the flow may compensate, and
        whatever it does, it ends as cancelled or failed. One that has not begun never begins; one
        that is parked hears of it when a deploy lets it go on. An operator who restarts a parked or
        failed flow takes the cancel back. Gives DUPLICATE if it was asked before, NO_SUCH_FLOW or
        FLOW_ENDED if there is nothing to cancel.
        """
        engine = self._engine()
        message = cancel_message()
        stored = await stored_type(engine, self._type, check_id(id))
        (delivery,) = await engine.append(stored, id, [message], cancels=True)
        return delivery

    async def control_panel(self, id: str, /) -> ControlPanel[P, R] | None:
        """Show one flow to an operator, who may change its arguments and restart it.

        None if there is no such flow.
        """
        return await ControlPanel[P, R].of(self._type, self._engine, check_id(id))

    def message_writer(self, id: str, /) -> MessageWriter:
        """Give something that appends to one flow's inbox."""
        return MessageWriter(self._engine, self._type, check_id(id))

    async def ask(
        self,
        id: str,
        question: object,
        cls: type[A],
        /,
        *,
        key: str | None = None,
        timeout: timedelta | None = None,
    ) -> A:
        """Put a question to a running flow and wait for its answer, which is a `cls`.

        The flow takes it with `question(…)`; taken by `message(…)` it is never answered. It is
        stored like a message, and so is the answer: with a `key`, the same question asked again
        gets the same answer, also after the flow has ended. Raises QuestionRefused if the flow
        refuses it, TimeoutError after `timeout` (the question stays), FlowNotFound, FlowEnded if
        the flow ended without an answer, FlowParked (the question stays), and DeserializationError
        for an answer that is no `cls`; the SerializationError family before anything is written.
        """
        return await ask(self._engine(), self._type, id, question, cls, key, timeout)

    async def state(self, id: str, cls: type[T], /) -> T | None:
        """Read what a flow published last, also of one that has ended; None if there is nothing.

        Raises DeserializationError if it is no `cls`.
        """
        check_class(cls, "state(id, …)")
        services = self._engine().services
        names = (self._type.name, *self._type.aliases)
        found = await read_state(services, names, check_id(id))
        if found is None:
            return None
        return as_class(services.serializer, Payload(found.type, found.body), cls)

    # starting and awaiting

    def _new(self, id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> StartFlow:
        param = self._type.encode(args, kwargs)
        return new_start(
            self._type, id, param, self._options.initial, lambda: self._engine().services
        )

    def _child(self, id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Child | None:
        scope = SCOPE.get(None)
        if scope is None or self._options.detached:
            return None
        if scope.incarnation.services is not self._engine().services:
            return None
        options = self._options
        return Child.of(self._type.name, id, args, kwargs, options.on_cancel, options.initial)

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
        new = self._new(id, args, kwargs)
        now = engine.services.replica.now()
        due_at = now if begin is None else begin.from_now(engine.services.replica)
        owned = due_at <= now and engine.may_run_here()
        start = msgspec.structs.replace(new, due_at=None if owned else due_at, owned=owned)
        started = await engine.start_flow(start)
        is_same = started.same_param
        if not (is_same or await mean_the_same(engine, self._type, started.flow, new.param)):
            self._say_ignored(engine, started.flow)
        return started

    def _say_ignored(self, engine: Engine, flow: FlowRef) -> None:
        text = (
            f"the flow {flow.type} {flow.id!r} exists with other arguments; these are ignored and "
            "the caller is attached to it"
        )
        event = Event("flow.param_ignored", text, flow.type, flow.id, logging.WARNING)
        engine.services.events.emit(event)
        if self._options.strict:
            raise ParamIgnored(text)
        warnings.warn(text, ParamIgnored, stacklevel=4)

    async def _await(self, engine: Engine, started: Started, timeout: timedelta | None) -> Any:
        outcome, live = await await_outcome(engine, started, timeout)
        return result_of(outcome, self._type.returns, engine.services.serializer, live)

    # `list` comes last: it hides the builtin in what follows it in the class body.
    async def list(self, *statuses: Status, after: int = 0, limit: int = 100) -> Sequence[FlowInfo]:
        """List flows in the order of their creation, those after the number `after`."""
        store = self._engine().services.store
        views = [
            view
            for name in (self._type.name, *self._type.aliases)
            for view in await store.list_flows(name, statuses, after, limit)
        ]
        views.sort(key=lambda view: view.flow.number)
        return [info_of(view) for view in views[:limit]]
