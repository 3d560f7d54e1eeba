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
from tests.crash.cases import Case, Sent
from tests.crash.crashing_store import CrashingStore, make_blind, put_before
from tests.crash.kill_points import POINTS
from unbroken import FlowFailed, Unbroken

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
    put_before(app, lambda store: CrashingStore(store, POINTS))
    if by_lease:
        make_blind(app)
    handle = app.register(case.flow)
    for child in case.children:
        app.register(child)
    async with app:
        scheduled = await handle.schedule(FLOW_ID, *case.args)
        ledger.write("scheduled", flow=f"{handle.name} {FLOW_ID}")
        for sent in case.messages:
            await _send(handle, sent)
        try:
            value = await scheduled.completion()
        except FlowFailed as error:
            ended: dict[str, Any] = {"error": f"{error.error.type}: {error.error.message}"}
        else:
            ended = {name: ledger.short(text) for name, text in value.items()}
        ledger.write("result", flow=f"{handle.name} {FLOW_ID}", value=ended)


async def _send(handle: Any, sent: Sent) -> None:
    while sent.after is not None and not _has_heard(sent.after):  # noqa: ASYNC110 - of all processes
        await asyncio.sleep(0.002)
    delivery = await handle.send_message(FLOW_ID, sent.message, key=sent.key)
    flow = f"{handle.name} {FLOW_ID}"
    value = {"key": sent.key, "text": sent.message.text, "delivery": delivery.value}
    ledger.write("sent", flow=flow, value=value)


def _has_heard(effect: str) -> bool:
    lines = ledger.read(Path(os.environ[ledger.PATH]))
    return any(line.effect == effect and line.kind in HEARD for line in lines)
