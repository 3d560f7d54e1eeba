"""A child as the flow that starts it sees it."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, Generic, Literal, NoReturn, ParamSpec, TypeAlias, TypeVar

from unbroken.engine.children import StartedChild, child_outcome, known_as, start_child
from unbroken.engine.continuing import begin_anew
from unbroken.engine.scope import SCOPE, Scope, scope_for_wait
from unbroken.flows.initial import InitialState
from unbroken.flows.results import result_of
from unbroken.flows.scheduled import Scheduled
from unbroken.flows.starts import new_start
from unbroken.model.errors import (
    ConfigurationError,
    FlowCancelled,
    FlowFailed,
    NotInFlow,
    NotRegistered,
    UsageError,
)
from unbroken.model.records import FlowRef, OnCancel, Outcome
from unbroken.stores.batch import Start

P = ParamSpec("P")
R = TypeVar("R")


class Child:
    """A child that was asked for; its key was taken when it was asked for."""

    def __init__(self, scope: Scope, key: str, new: Start, on_cancel: OnCancel) -> None:
        self._scope = scope
        self._key = key
        self._new = new
        self._on_cancel = on_cancel

    @classmethod
    def of(
        cls,
        type: str,
        id: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        on_cancel: OnCancel = OnCancel.CANCEL,
        initial: InitialState | None = None,
    ) -> Child:
        """Take the key. Raises NotInFlow outside of a flow, NotRegistered for an unknown type."""
        if SCOPE.get(None) is None:
            raise NotInFlow(
                f"{type}.run(…) starts a child and works only inside a flow: outside, use the "
                f"handle that app.register({type}) returned"
            )
        scope = scope_for_wait(f"{type}.run(…)")
        services = scope.incarnation.services
        flow_type = services.types.get(type)
        if flow_type is None:
            raise NotRegistered(f"the flow {type!r} is not registered: call app.register({type})")
        new = new_start(flow_type, id, flow_type.encode(args, kwargs), initial, lambda: services)
        key = scope.take(type, explicit=False)
        scope.incarnation.promise(key)
        return cls(scope, key, new, on_cancel)

    async def run(self) -> Any:
        """Start the child and wait for its result."""
        return await self._result(await self._start())

    async def schedule(self) -> Scheduled[Any]:
        """Start the child; its result is awaited with `completion()`."""
        started = await self._start()
        return Scheduled(self._new.id, lambda timeout: self._completion(started, timeout))

    async def _start(self) -> StartedChild:
        self._scope.incarnation.is_awaited(self._key)
        self._key = known_as(self._scope, self._key, self._new)
        return await start_child(self._scope, self._key, self._new, self._on_cancel)

    async def _completion(self, started: StartedChild, timeout: timedelta | None) -> Any:
        if timeout is not None:
            raise UsageError("inside a flow completion() takes no time-out: the wait is durable")
        return await self._result(started)

    async def _result(self, started: StartedChild) -> Any:
        services = self._scope.incarnation.services
        told = await child_outcome(self._scope, self._key, started)
        flow = FlowRef(0, started.ref.type, started.ref.id)
        outcome = Outcome(flow, told.status, told.body, told.type, told.error)
        returns = services.types[self._new.type].returns
        try:
            return result_of(outcome, returns, services.serializer, None)
        except (FlowFailed, FlowCancelled) as error:
            raise self._scope.incarnation.blame(self._key, error) from None


class Children(Generic[P, R]):
    """Starts children of one flow type, with options."""

    def __init__(self, name: str, on_cancel: OnCancel = OnCancel.CANCEL) -> None:
        self._name = name
        self._on_cancel = on_cancel

    def run(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[object, object, R]:
        """Start a child, or attach to it, and wait for its result."""
        return self._child(id, args, kwargs).run()

    def schedule(
        self, id: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[object, object, Scheduled[R]]:
        """Start a child, or attach to it, without waiting for it."""
        return self._child(id, args, kwargs).schedule()

    def options(self, *, on_cancel: CancelPolicy = "cancel") -> Children[P, R]:
        """Give the same with options: `on_cancel` says what a cancel of the parent does to a child.

        "cancel" cancels it too; "wait" lets the parent's wait for it go on to its end first;
        "leave" lets it go on alone. Raises ConfigurationError for anything else.
        """
        return Children(self._name, policy_of(on_cancel))

    async def continue_as_new(self, *args: P.args, **kwargs: P.kwargs) -> NoReturn:
        """End this run of the flow and begin it anew: other arguments, an empty journal.

        For flows that live for ever: what they recorded goes, messages not yet consumed come along,
        the id, parents, published state and correlations stay. Only from inside a flow of this very
        type. Raises FlowCancelled instead if a cancel was asked for.
        """
        scope = scope_for_wait("continue_as_new(…)")
        types = scope.incarnation.services.types
        own, wanted = types[scope.incarnation.flow.type], types.get(self._name)
        if own is not wanted:
            raise UsageError(
                f"a flow of type {own.name!r} continues as new with its own continue_as_new(…), "
                f"not with that of {self._name!r}"
            )
        await begin_anew(scope, own.encode(args, kwargs))

    def _child(self, id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Child:
        return Child.of(self._name, id, args, kwargs, self._on_cancel)


CancelPolicy: TypeAlias = Literal["cancel", "wait", "leave"]


def policy_of(on_cancel: str) -> OnCancel:
    """Check what somebody wrote as `on_cancel`."""
    try:
        return OnCancel(on_cancel)
    except ValueError:
        raise ConfigurationError(
            f'on_cancel={on_cancel!r}: write "cancel", "wait" or "leave"'
        ) from None
