"""A process that runs flows until it is told to stop, and tells the ledger what it does.

    python -m tests.crash.serving URL LEASE

It prints a line when it is ready. SIGTERM stops it cleanly; anything may be done to it.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Any

from tests.crash import held, ledger
from tests.crash.crashing_store import TellingStore, put_before
from unbroken import Unbroken
from unbroken.engine.events import Event


def tell_event(event: Event) -> None:
    """Write an event of the engine into the ledger."""
    flow = f"{event.flow_type} {event.flow_id}" if event.flow_id is not None else ""
    ledger.write("event", flow=flow, effect=event.name, value=event.text[:400])


def serving_app(url: str, flows: tuple[Any, ...], **settings: Any) -> Unbroken:
    """Make an app that knows the flows and tells the ledger of its commits and events."""
    app = Unbroken(url, **settings)
    put_before(app, TellingStore)
    app.subscribe(tell_event)
    for one in flows:
        app.register(one)
    return app


async def _serve(url: str, lease: float) -> None:
    app = serving_app(url, held.FLOWS, lease=timedelta(seconds=lease))
    app.subscribe(lambda event: _say_ready(event.name))
    await app.serve(grace=held.GRACE)


def _say_ready(event: str) -> None:
    if event == "replica.registered":
        print("ready", flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], float(sys.argv[2])))
