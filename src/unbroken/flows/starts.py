"""What a handle takes and gives beside the flow's own arguments: options, starts, list entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Generic, ParamSpec, TypeVar

import msgspec

from unbroken.engine.flow_type import FlowType
from unbroken.engine.services import Services
from unbroken.flows.initial import InitialState, encode_initial
from unbroken.model.clock import moment_of
from unbroken.model.ids import check_id
from unbroken.model.records import OnCancel, Status
from unbroken.stores.batch import Start as StartFlow
from unbroken.stores.batch import Started
from unbroken.stores.store import FlowView

P = ParamSpec("P")
R = TypeVar("R")


class Start(Generic[P, R]):
    """A flow prepared to be started; its arguments and initial state are encoded and checked."""

    __slots__ = ("_new",)

    def __init__(self, new: StartFlow) -> None:
        self._new = new

    @property
    def id(self) -> str:
        """The id of the flow."""
        return self._new.id

    @property
    def param(self) -> str:
        """The arguments as they are stored."""
        return self._new.param

    @property
    def type(self) -> str:
        """The name of the flow's type."""
        return self._new.type

    def at(self, due_at: int) -> StartFlow:
        """Give what the store is asked for, due at an instant."""
        return msgspec.structs.replace(self._new, due_at=due_at)

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
    on_cancel: OnCancel = OnCancel.CANCEL
    initial: InitialState | None = None


def new_start(
    flow_type: FlowType,
    id: str,
    param: str,
    initial: InitialState | None,
    services: Callable[[], Services],
) -> StartFlow:
    """Give a start of the newest version of a type, which attaches under former names too.

    Raises InvalidId, and the SerializationError family for what the initial state holds.
    """
    checked = check_id(id)
    effects, messages = ((), ()) if initial is None else encode_initial(initial, services())
    return StartFlow(
        flow_type.name,
        checked,
        param,
        aliases=flow_type.aliases,
        effects=effects,
        messages=messages,
        code=flow_type.code,
    )


def count_created(answers: Iterable[Started]) -> int:
    """Say how many of the starts made a flow."""
    return sum(1 for answer in answers if answer.created)


def info_of(view: FlowView) -> FlowInfo:
    """Give an entry of a list."""
    return FlowInfo(
        view.flow.number,
        view.flow.id,
        view.status,
        moment_of(view.created_at),
        None if view.ended_at is None else moment_of(view.ended_at),
        None if view.due_at is None else moment_of(view.due_at),
        view.owner,
    )
