"""A scenario: flows, and what their user does. The cases of the crash tests are some of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import msgspec

from tests.crash import ledger
from tests.crash.cases import CASES, Asking, Case, Sent
from tests.crash.ledger import Line
from tests.simulation.sweep.stage import Stage
from unbroken import FlowCancelled, FlowFailed, FlowParked, QuestionRefused, Unbroken

FLOW_ID = "MK-1"
HEARD = frozenset({"saw", "received", "interrupted"})
ATTEMPTS = {"warm": 4, "cold": 4}


class User:
    """Who uses the flows: an app and its handles, in the order of the scenario's flows."""

    def __init__(self, stage: Stage, app: Unbroken, handles: Sequence[Any]) -> None:
        self.stage = stage
        self.app = app
        self.handles = handles

    async def ended(
        self, handle: Any, id: str, completion: Awaitable[Any], *, part: str | None = None
    ) -> None:
        """Wait for a flow's end and take it down, as a part of something if it has a name."""
        try:
            value: Any = await completion
        except FlowFailed as error:
            value = {"error": f"{error.error.type}: {error.error.message}"}
        except FlowCancelled as error:
            value = {"cancelled": type(error).__name__}
        except FlowParked as error:
            value = {"parked": str(error)}
        else:
            value = _shortened(value) if part is None else {part: value}
        ledger.write("result", flow=f"{handle.name} {id}", value=value)

    async def hears(self, effect: str) -> None:
        """Wait until a flow has seen an effect."""
        await self.stage.until(lambda: self._has_heard(effect))

    def _has_heard(self, effect: str) -> bool:
        return any(line.effect == effect and line.kind in HEARD for line in self.stage.lines)


Use = Callable[[User], Awaitable[None]]
Judge = Callable[[Sequence[Line]], list[str]]


class Scenario(msgspec.Struct, frozen=True):
    """Flows and their use. `judge` looks at what only this scenario can know.

    `flows` are given to `register`, each with what else belongs to it; an error that contains
    `excused` may come in the place of a result; `around` prepares the world outside for as long as
    a run takes.
    """

    name: str
    flows: tuple[tuple[Any, ...], ...]
    use: Use
    suspend_after: timedelta = timedelta(seconds=10)
    volatile: tuple[str, ...] = ()
    attempts: dict[str, int] = {}
    exempt: tuple[str, ...] = ()
    excused: str = ""
    judge: Judge = lambda _: []
    around: Callable[[], AbstractContextManager[object]] = nullcontext


def of_case(name: str, case: Case) -> Scenario:
    """Make a scenario of a case of the crash tests."""

    async def use(user: User) -> None:
        await _use(case, user)

    return Scenario(
        name,
        ((case.flow,), *((child,) for child in case.children)),
        use,
        case.suspend_after,
        case.volatile,
        {**ATTEMPTS, **case.attempts},
        case.exempt,
    )


async def _use(case: Case, user: User) -> None:
    handle = user.handles[0]
    flow = f"{handle.name} {FLOW_ID}"
    scheduled = await handle.options(initial=case.initial).schedule(FLOW_ID, *case.args)
    ledger.write("scheduled", flow=flow)
    for sent in case.messages:
        await (_ask(handle, sent) if isinstance(sent, Asking) else _send(user, handle, sent))
    if case.cancelled_after is not None:
        await user.hears(case.cancelled_after)
        delivery = await handle.cancel(FLOW_ID)
        ledger.write("cancelled", flow=flow, value=delivery.value)
    await user.ended(handle, FLOW_ID, _completion(case, handle, scheduled))


async def _completion(case: Case, handle: Any, scheduled: Any) -> Any:
    while True:
        try:
            return await scheduled.completion()
        except FlowFailed:
            if not case.restarts:
                raise
        panel = await handle.control_panel(FLOW_ID)
        assert panel is not None
        scheduled = await panel.restart()


async def _send(user: User, handle: Any, sent: Sent) -> None:
    if sent.after is not None:
        await user.hears(sent.after)
    delivery = await handle.send_message(FLOW_ID, sent.message, key=sent.key)
    value = {"key": sent.key, "text": sent.message.text, "delivery": delivery.value}
    ledger.write("sent", flow=f"{handle.name} {FLOW_ID}", value=value)


async def _ask(handle: Any, asking: Asking) -> None:
    try:
        answer = await handle.ask(FLOW_ID, asking.message, str, key=asking.key)
    except QuestionRefused as error:
        answer = error.reason
    value = {"key": asking.key, "answer": answer, "expected": asking.answer}
    ledger.write("answered", flow=f"{handle.name} {FLOW_ID}", value=value)


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: ledger.short(text) for name, text in value.items()}
    return value


def cases() -> dict[str, Scenario]:
    """Give the cases of the crash tests as scenarios."""
    return {name: of_case(name, case) for name, case in CASES.items()}
