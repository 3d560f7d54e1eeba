"""`current_flow()`: what a flow may know and do about itself."""

from __future__ import annotations

from typing import ParamSpec, TypeVar, cast

from unbroken.engine.incarnation import Incarnation
from unbroken.engine.scope import current_scope, scope_for_wait
from unbroken.engine.states import publish
from unbroken.flows.children import Children
from unbroken.flows.definition import AsyncClassFlow, definition_of
from unbroken.flows.logs import FlowLogger
from unbroken.flows.values import to_payload
from unbroken.model.errors import NotSerializable, RegistrationError
from unbroken.model.ids import check_name
from unbroken.model.records import Effect, Kind
from unbroken.serialization.serializer import Payload

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class FlowEffects:
    """The effects recorded so far by the running flow, under the names of its first scope."""

    def __init__(self, incarnation: Incarnation) -> None:
        self._incarnation = incarnation

    def contains(self, name: str) -> bool:
        """Say whether an effect of this name is recorded."""
        return self._incarnation.look_at(name) is not None

    def get(self, name: str, type: type[T], /) -> T:
        """Give a recorded result. Raises LookupError if there is none; raises what it recorded."""
        effect = self._incarnation.look_at(name)
        if effect is None:
            raise LookupError(f"no effect {name!r} is recorded: use try_get, or capture it first")
        return self._decode(effect, type)

    def try_get(self, name: str, type: type[T], /) -> T | None:
        """Give a recorded result, or None."""
        effect = self._incarnation.look_at(name)
        return None if effect is None else self._decode(effect, type)

    async def create_or_get(self, name: str, value: T, /) -> T:
        """Record a value, unless one is recorded already; give the recorded one."""
        effect = self._incarnation.recorded(check_name(name), Kind.CAPTURE)
        if effect is not None:
            return self._decode(effect, type(value))
        payload, kept = self._incarnation.services.serializer.round_trip(value, key=name)
        number = self._incarnation.number
        await self._incarnation.record(
            Effect(name, Kind.CAPTURE, payload.body, payload.type, incarnation=number)
        )
        return kept

    async def mark(self, name: str, /) -> bool:
        """Record that a point was reached; True only the first time."""
        if self._incarnation.recorded(check_name(name), Kind.CAPTURE) is not None:
            return False
        number = self._incarnation.number
        await self._incarnation.record(Effect(name, Kind.CAPTURE, "true", incarnation=number))
        return True

    def _decode(self, effect: Effect, type: type[T]) -> T:
        serializer = self._incarnation.services.serializer
        if effect.failed:
            raise serializer.rebuild_exception(effect.body)
        return cast(T, serializer.decode(Payload(effect.type, effect.body), type))


class CurrentFlow:
    """The running flow."""

    def __init__(self, incarnation: Incarnation) -> None:
        self._incarnation = incarnation

    @property
    def id(self) -> str:
        """The flow's id."""
        return self._incarnation.flow.id

    @property
    def incarnation(self) -> int:
        """How often the flow was begun from its first line by a claim or start."""
        return self._incarnation.number

    @property
    def replaying(self) -> bool:
        """Whether this incarnation still does what a former one did, as far as one can tell.

        False from the first thing on that is not recorded, and after a sleep that nothing recorded
        follows.
        """
        return self._incarnation.repeats

    @property
    def version(self) -> int:
        """The `@flow(version=…)` of the code that started the flow; its own code may be newer."""
        return self._incarnation.code

    @property
    def logger(self) -> FlowLogger:
        """A logger that is silent during a replay and adds the flow's type, id and incarnation."""
        return FlowLogger(self._incarnation)

    @property
    def effects(self) -> FlowEffects:
        """The effects recorded so far."""
        return FlowEffects(self._incarnation)

    async def publish(self, state: object, /) -> None:
        """Show a state to the outside: `orders.state(id, OrderState)` gives the last one.

        It is no effect: published once it is stored, and again by every run that comes here. A run
        that repeats what a former one did shows nothing until it asks for something new, so the
        view never turns back; with branches it is the newest of one of them. Raises NotSerializable
        or its like before anything is written, NotInFlow inside a captured body.
        """
        scope = scope_for_wait("current_flow().publish(…)")
        if state is None:
            raise NotSerializable("a state must not be None: that means that there is none")
        await publish(scope, to_payload(scope.incarnation.services.serializer, state, "state"))

    def flows(self, flow_class: type[AsyncClassFlow[P, R]], /) -> Children[P, R]:
        """Start children of a class flow."""
        definition = definition_of(flow_class)
        if definition is None:
            raise RegistrationError(f"{flow_class!r} is no flow: decorate the class with @flow")
        return Children(definition.name)

    # `type` comes last: it hides the builtin in what follows it in the class body.
    @property
    def type(self) -> str:
        """The name of the flow's type."""
        return self._incarnation.flow.type


def current_flow() -> CurrentFlow:
    """Give the running flow. Raises NotInFlow outside of one."""
    return CurrentFlow(current_scope("current_flow()").incarnation)
