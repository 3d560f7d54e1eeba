"""Apps on one store, and a look at the rows behind them that no public call gives."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.flows.database import look_no_more, read
from unbroken import Unbroken
from unbroken.engine.events import Event
from unbroken.stores.store import FlowView
from unbroken.testing import VirtualClock

LEASE = timedelta(seconds=20)
AT_ONCE = timedelta(0)


class Apps:
    """Makes apps on one store.

    An app with a clock of its own that nobody moves is a process that hangs: it neither beats nor
    wakes, and after a lease on the other apps' clock it is dead.
    """

    def __init__(self, url: str, clock: VirtualClock) -> None:
        self.url = url
        self.clock = clock
        self._made: list[Unbroken] = []

    def __call__(self, *, clock: VirtualClock | None = None, **settings: Any) -> Unbroken:
        settings.setdefault("lease", LEASE)
        app = Unbroken(self.url, clock=clock or self.clock, **settings)
        self._made.append(app)
        return app

    async def hang(self, definition: Any) -> tuple[Unbroken, Any]:
        """Start an app that will hang, and give it with its handle."""
        app = self(clock=VirtualClock())
        flows = app.register(definition)
        await app.start()
        return app, flows

    async def stop(self) -> None:
        for app in self._made:
            await app.stop(AT_ONCE)
        look_no_more()


def loose(thing: object) -> Any:
    """Give a thing without its types: for what a type checker refuses, or what lies inside."""
    return thing


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in another thread or task, which no virtual clock can see."""
    while not condition():
        await asyncio.to_thread(int)


def events_of(app: Unbroken) -> list[Event]:
    """Collect what the app tells."""
    heard: list[Event] = []
    app.subscribe(heard.append)
    return heard


def names_of(events: list[Event]) -> list[str]:
    return [event.name for event in events]


async def row(app: Unbroken, type: str, id: str) -> FlowView:
    """Read a flow's row."""
    view = await app._store.view(type, id)
    assert view is not None, f"no flow {type} {id!r}"
    return view


def stored_effects(app: Unbroken, id: str) -> dict[str, str]:
    """Give the stored effects of a flow: kind by key, in the order of keys."""
    statement = (
        "SELECT e.key, e.kind FROM effects e JOIN flows f ON f.number = e.flow WHERE f.id = ?"
        " ORDER BY e.key"
    )
    return dict(read(app, statement, id))


def stored_messages(app: Unbroken, id: str) -> list[str]:
    """Give the bodies of the messages in a flow's inbox that are not consumed."""
    statement = (
        "SELECT m.body FROM messages m JOIN flows f ON f.number = m.flow"
        " WHERE f.id = ? AND m.consumed = 0 ORDER BY m.position"
    )
    return [body for (body,) in read(app, statement, id)]


def stored_parents(app: Unbroken, id: str) -> str:
    ((parents,),) = read(app, "SELECT parents FROM flows WHERE id = ?", id)
    return parents


def count_rows(app: Unbroken, table: str) -> int:
    ((count,),) = read(app, f"SELECT count(*) FROM {table}")
    return count


async def jump(clock: VirtualClock, duration: timedelta) -> None:
    """Move time on although something runs that may never end: a body that hangs."""
    await clock._jump(clock.monotonic() + duration.total_seconds())


class Gate:
    """A place in a flow or body where it stands until the test lets it pass."""

    def __init__(self) -> None:
        self._reached = asyncio.Event()
        self._open = asyncio.Event()

    async def pass_through(self) -> None:
        self._reached.set()
        await self._open.wait()

    async def reached(self) -> None:
        await self._reached.wait()

    def open(self) -> None:
        self._open.set()
