"""The control panel: one flow as an operator sees and changes it.

What it shows is a picture of one moment; `refresh` takes another one. A write is refused if the
flow has moved since.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, TypeVar, cast

import msgspec

from unbroken.engine.completions import told_in
from unbroken.engine.engine import Engine
from unbroken.engine.flow_type import FlowType
from unbroken.engine.panels import amend, read_effects, read_flow
from unbroken.flows.awaiting import await_outcome
from unbroken.flows.results import result_of
from unbroken.flows.scheduled import Scheduled
from unbroken.model.clock import moment_of
from unbroken.model.errors import EffectNotFound, ErrorInfo, FlowNotFound
from unbroken.model.records import Effect, FlowRef, Kind, Outcome, Status
from unbroken.serialization.serializer import Payload, Serializer
from unbroken.stores.batch import Started
from unbroken.stores.store import Amendment, FlowView

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

RESULTS = frozenset((Kind.CAPTURE, Kind.ONCE))
SHOWN = 10


class EffectInfo(msgspec.Struct, frozen=True):
    """One recorded effect. `error` says why it failed, if it did."""

    name: str
    kind: str
    error: ErrorInfo | None = None


class RecordedEffects:
    """What a flow has recorded, by full key: read when it is asked for, and kept until a refresh.

    The key of an effect is its name, `name#2` at its second use; beneath a branch or body it begins
    with that one's key and `/`. What follows a `.` is the engine's own.
    """

    def __init__(
        self,
        flow: FlowRef,
        serializer: Serializer,
        read: Callable[[], Awaitable[tuple[Effect, ...]]],
        write: Callable[[Amendment], Awaitable[None]],
    ) -> None:
        self._flow = flow
        self._serializer = serializer
        self._read = read
        self._write = write
        self._known: dict[str, Effect] | None = None

    async def all(self) -> Sequence[EffectInfo]:
        """Give all that is recorded, in the order of keys."""
        recorded = await self._recorded()
        return [EffectInfo(one.key, one.kind, self._error(one)) for one in recorded.values()]

    async def get(self, name: str, type: type[T], /) -> T:
        """Give the result of a capture; raises the recorded error of one that failed.

        Raises EffectNotFound if nothing of this name has a result, DeserializationError if it is
        no such type.
        """
        effect = (await self._recorded()).get(name)
        if effect is None or effect.kind not in RESULTS:
            raise await self._not_found(name)
        if effect.failed:
            raise self._serializer.rebuild_exception(effect.body)
        return cast(T, self._serializer.decode(Payload(effect.type, effect.body), type))

    async def remove(self, name: str, /) -> None:
        """Let a flow forget an effect and all beneath it, so that it runs again; written at once.

        That goes for at-most-once effects too, which no restart forgets: whether one that began may
        begin again is for whoever removes it to know. A message that was received is not sent
        again. Raises EffectNotFound if nothing is recorded under the name; FlowMoved if the flow
        runs, or was changed since the panel was read; nothing is written then.
        """
        recorded = await self._recorded()
        gone = [key for key in recorded if key == name or key.startswith((f"{name}.", f"{name}/"))]
        if not gone:
            raise await self._not_found(name)
        await self._write(Amendment(forgets=(name,)))
        for key in gone:
            del recorded[key]

    def forget(self) -> None:
        """Read anew when asked again."""
        self._known = None

    async def _recorded(self) -> dict[str, Effect]:
        if self._known is None:
            self._known = {effect.key: effect for effect in await self._read()}
        return self._known

    def _error(self, effect: Effect) -> ErrorInfo | None:
        """Give why an effect failed: its own error, or that of the child it waited for."""
        text = effect.body if effect.failed and effect.kind in RESULTS else None
        if effect.kind == Kind.CHILD and not effect.key.endswith(".started"):
            text = told_in(effect.body).error
        return None if text is None else self._serializer.error_info(text)

    async def _not_found(self, name: str) -> EffectNotFound:
        names = [key for key in await self._recorded() if "." not in key]
        known = ", ".join(map(repr, names[:SHOWN])) or "nothing"
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return EffectNotFound(
            f"flow {self._flow.id!r} has recorded nothing as {name!r}, but {known}{more}"
        )


class ControlPanel(Generic[P, R]):
    """One flow as an operator sees and changes it; `handle.control_panel(id)` gives it.

    What it shows is a picture of one moment: `refresh` takes another one. Writes are refused with
    FlowMoved if the flow was changed since, or if a process holds it.
    """

    def __init__(
        self,
        flow_type: FlowType,
        engine: Callable[[], Engine],
        picture: tuple[FlowView, Outcome],
    ) -> None:
        self._type = flow_type
        self._engine = engine
        self._view, self._outcome = picture
        self._param: str | None = None
        self._serializer = engine().services.serializer
        self._effects = RecordedEffects(
            self._view.flow, self._serializer, self._read_effects, self._write
        )

    @classmethod
    async def of(
        cls, flow_type: FlowType, engine: Callable[[], Engine], id: str
    ) -> ControlPanel[P, R] | None:
        """Read a flow, under whichever name of its type it is stored. None: absent."""
        for name in (flow_type.name, *flow_type.aliases):
            picture = await read_flow(engine(), name, id)
            if picture is not None:
                return cls(flow_type, engine, picture)
        return None

    # the picture

    @property
    def id(self) -> str:
        """The flow's id."""
        return self._view.flow.id

    @property
    def status(self) -> Status:
        """Where the flow stands."""
        return self._view.status

    @property
    def error(self) -> ErrorInfo | None:
        """Why it failed or is parked; of a live flow, why its last run failed."""
        text = self._view.error
        return None if text is None else self._serializer.error_info(text)

    @property
    def due_at(self) -> datetime | None:
        """When it goes on by itself; None if it runs, waits for a message, or has ended."""
        due_at = self._view.due_at
        return None if due_at is None else moment_of(due_at)

    @property
    def owner(self) -> str | None:
        """The replica that holds it: it runs there, or waits in its memory."""
        return self._view.owner

    @property
    def failures(self) -> int:
        """How many runs failed and were tried again, as `@flow(retry=…)` says."""
        return self._view.failures

    @property
    def version(self) -> int:
        """The version of the flow's code under which it was started."""
        return self._view.code

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments, with what `set_param` changed; objects of their own.

        Raises DeserializationError if they do not fit the code.
        """
        return self._type.decode(self._param or self._view.param)[0]

    @property
    def kwargs(self) -> dict[str, Any]:
        """The arguments by name; as `args`."""
        return self._type.decode(self._param or self._view.param)[1]

    @property
    def result(self) -> R | None:
        """The result of a flow that is done; None of any other."""
        if self._outcome.status is not Status.DONE:
            return None
        return cast(R, result_of(self._outcome, self._type.returns, self._serializer, None))

    @property
    def effects(self) -> RecordedEffects:
        """What the flow has recorded."""
        return self._effects

    async def refresh(self) -> None:
        """Take a new picture; what was set and not saved is dropped.

        Raises FlowNotFound if the flow was deleted.
        """
        flow = self._view.flow
        picture = await read_flow(self._engine(), flow.type, flow.id)
        if picture is None:
            raise FlowNotFound(f"no flow {flow.type!r} has the id {flow.id!r} any more")
        self._view, self._outcome = picture
        self._param = None
        self._effects.forget()

    # changes

    def set_param(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Give the flow other arguments, checked now and written by `restart` or `save`.

        Raises TypeError if they do not fit the flow's signature, and the SerializationError family.
        """
        self._param = self._type.encode(args, kwargs)

    async def save(self) -> None:
        """Write other arguments and leave the flow as it stands: its next run has them.

        Raises FlowMoved if it was changed since the panel was read or is held by a process; nothing
        is written then.
        """
        if self._param is not None:
            await self._write(Amendment(param=self._param))

    async def restart(self) -> Scheduled[R]:
        """Let the flow run again from its first line, whatever it was; give what awaits its end.

        What is recorded stays, but for the effects whose error it ended with and what was cut;
        result, error, a cancel and counted failures are gone, and a time-out counts anew. What may
        begin only once stays too: `effects.remove` says that it may begin again. A parent that has
        not read the former end waits for the later one; for others the former end stays. Raises
        FlowMoved if the flow was changed since the panel was read or is held by a process; nothing
        is written then.
        """
        await self._write(Amendment(param=self._param, restarts=True))
        flow = self._view.flow
        self._outcome = Outcome(flow, Status.LIVE)
        self._effects.forget()

        async def completion(timeout: timedelta | None) -> Any:
            engine = self._engine()
            started = Started(flow, created=False)
            outcome, live = await await_outcome(engine, started, timeout)
            return result_of(outcome, self._type.returns, engine.services.serializer, live)

        return Scheduled(flow.id, completion)

    async def _read_effects(self) -> tuple[Effect, ...]:
        return await read_effects(self._engine(), self._view)

    async def _write(self, amendment: Amendment) -> None:
        self._view = await amend(self._engine(), self._view, amendment)
        if amendment.param is not None:
            self._param = None

    def __repr__(self) -> str:
        flow = self._view.flow
        return f"ControlPanel({flow.type!r}, {flow.id!r}, {self.status.value!r})"
