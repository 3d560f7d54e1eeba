"""What one process does in a crash test: start an app, use one flow, and say how it ended.

It is the same program each time, as a real one would be: ids and message keys make it harmless to
run it again from its first line.
"""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.crash import ledger
from tests.crash.cases import Asking, Case, Sent
from tests.crash.crashing_store import CrashingStore, StateTellingStore, make_blind, put_before
from tests.crash.kill_points import POINTS
from unbroken import FlowCancelled, FlowFailed, QuestionRefused, Scheduled, Unbroken

FLOW_ID = "MK-1"
HEARD = frozenset({"saw", "received", "interrupted"})


def run(case: Case, url: str, lease: timedelta, *, by_lease: bool) -> None:
    """Use the flow from its start to its end, in this process.

    `by_lease`: that another process has died shows only by its lease, as on every other system.
    """
    POINTS.arm()
    asyncio.run(_run(case, url, lease, by_lease=by_lease))


async def _run(case: Case, url: str, lease: timedelta, *, by_lease: bool) -> None:
    app = Unbroken(url, lease=lease, suspend_after=case.suspend_after)
    put_before(app, lambda store: StateTellingStore(CrashingStore(store, POINTS)))
    if by_lease:
        make_blind(app)
    handle = app.register(case.flow)
    for child in case.children:
        app.register(child)
    async with app:
        starting = handle.options(initial=case.initial)
        scheduled = await starting.schedule(FLOW_ID, *case.args)
        ledger.write("scheduled", flow=f"{handle.name} {FLOW_ID}")
        for sent in case.messages:
            if isinstance(sent, Asking):
                await _ask(handle, sent)
            else:
                await _send(handle, sent)
        if case.cancelled_after is not None:
            await _until_heard(case.cancelled_after)
            delivery = await handle.cancel(FLOW_ID)
            ledger.write("cancelled", flow=f"{handle.name} {FLOW_ID}", value=delivery.value)
        try:
            value = await _completion(case, handle, scheduled)
        except FlowFailed as error:
            ended: dict[str, Any] = {"error": f"{error.error.type}: {error.error.message}"}
        except FlowCancelled as error:
            ended = {"cancelled": type(error).__name__}
        else:
            ended = {name: ledger.short(text) for name, text in value.items()}
        ledger.write("result", flow=f"{handle.name} {FLOW_ID}", value=ended)


async def _completion(case: Case, handle: Any, scheduled: Scheduled[Any]) -> Any:
    while True:
        try:
            return await scheduled.completion()
        except FlowFailed:
            if not case.restarts:
                raise
        panel = await handle.control_panel(FLOW_ID)
        assert panel is not None
        scheduled = await panel.restart()


async def _send(handle: Any, sent: Sent) -> None:
    if sent.after is not None:
        await _until_heard(sent.after)
    delivery = await handle.send_message(FLOW_ID, sent.message, key=sent.key)
    flow = f"{handle.name} {FLOW_ID}"
    value = {"key": sent.key, "text": sent.message.text, "delivery": delivery.value}
    ledger.write("sent", flow=flow, value=value)


async def _ask(handle: Any, asking: Asking) -> None:
    try:
        answer = await handle.ask(FLOW_ID, asking.message, str, key=asking.key)
    except QuestionRefused as error:
        answer = error.reason
    value = {"key": asking.key, "answer": answer, "expected": asking.answer}
    ledger.write("answered", flow=f"{handle.name} {FLOW_ID}", value=value)


async def _until_heard(effect: str) -> None:
    while not _has_heard(effect):  # noqa: ASYNC110 - of all processes
        await asyncio.sleep(0.002)


def _has_heard(effect: str) -> bool:
    lines = ledger.read(Path(os.environ[ledger.PATH]))
    return any(line.effect == effect and line.kind in HEARD for line in lines)
