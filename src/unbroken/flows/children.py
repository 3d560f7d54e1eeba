"""A child as the flow that starts it sees it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from unbroken.engine.children import ChildRef, StartedChild, child_outcome, start_child
from unbroken.engine.scope import SCOPE, Scope, scope_for_wait
from unbroken.flows.results import result_of
from unbroken.flows.scheduled import Scheduled
from unbroken.model.errors import NotInFlow, NotRegistered, UsageError
from unbroken.model.ids import check_id
from unbroken.model.records import FlowRef, Outcome


class Child:
    """A child that was asked for; its key was taken when it was asked for."""

    def __init__(self, scope: Scope, key: str, type: str, id: str, param: str) -> None:
        self._scope = scope
        self._key = key
        self._type = type
        self._id = id
        self._param = param

    @classmethod
    def of(cls, type: str, id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Child:
        """Take the key. Raises NotInFlow outside of a flow, NotRegistered for an unknown type."""
        if SCOPE.get(None) is None:
            raise NotInFlow(
                f"{type}.run(…) starts a child and works only inside a flow: outside, use the "
                f"handle that app.register({type}) returned"
            )
        scope = scope_for_wait(f"{type}.run(…)")
        flow_type = scope.incarnation.services.types.get(type)
        if flow_type is None:
            raise NotRegistered(f"the flow {type!r} is not registered: call app.register({type})")
        check_id(id)
        key = scope.take(type, explicit=False)
        scope.incarnation.promise(key)
        return cls(scope, key, type, id, flow_type.encode(args, kwargs))

    async def run(self) -> Any:
        """Start the child and wait for its result."""
        return await self._result(await self._start())

    async def schedule(self) -> Scheduled[Any]:
        """Start the child; its result is awaited with `completion()`."""
        started = await self._start()
        return Scheduled(self._id, lambda timeout: self._completion(started, timeout))

    async def _start(self) -> StartedChild:
        self._scope.incarnation.is_awaited(self._key)
        ref = ChildRef(self._type, self._id)
        return await start_child(self._scope, self._key, ref, self._param)

    async def _completion(self, started: StartedChild, timeout: timedelta | None) -> Any:
        if timeout is not None:
            raise UsageError("inside a flow completion() takes no time-out: the wait is durable")
        return await self._result(started)

    async def _result(self, started: StartedChild) -> Any:
        services = self._scope.incarnation.services
        told = await child_outcome(self._scope, self._key, started)
        outcome = Outcome(
            FlowRef(0, self._type, self._id), told.status, told.body, told.type, told.error
        )
        returns = services.types[self._type].returns
        return result_of(outcome, returns, services.serializer, None)
