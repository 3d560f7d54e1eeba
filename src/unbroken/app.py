"""`Unbroken`: the composition root, the only place that knows everything.

Several apps may live in one process; nothing is global. The constructor does no I/O.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, overload

from unbroken.engine.engine import Engine
from unbroken.engine.events import Event, Events
from unbroken.engine.flow_type import FlowType
from unbroken.engine.services import Services
from unbroken.engine.settings import Settings
from unbroken.flows.definition import AsyncClassFlow, Flow
from unbroken.flows.handle import Flows
from unbroken.flows.locks import LockQueue
from unbroken.flows.registration import Factory, Registration, registration_of
from unbroken.flows.starts import Options
from unbroken.model.clock import Clock, SystemClock
from unbroken.model.errors import AppNotRunning, RegistrationError
from unbroken.model.randomness import Random, SystemRandom
from unbroken.serialization.codec import Codec
from unbroken.serialization.serializer import Serializer
from unbroken.stores import open_store
from unbroken.stores.postgresql.address import PostgreSQL
from unbroken.threads import EffectThreads
from unbroken.watch import LoopWatch

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

GRACE = timedelta(seconds=10)


class Unbroken:
    """An app: a store, the flows it knows, and, while it runs, an engine.

    `url` names the store: `sqlite:///orders.db`, `postgresql://user@host/shop` (or `PostgreSQL(…)`
    with its settings), or `sqlite://` for one in memory. `execute=False`
    makes a client that starts flows and sends messages but runs nothing. `suspend_after` is how
    long a waiting flow stays in memory, `warm_limit` how many may; `concurrency` how many run at
    once. `lease` is how long a silent process counts as alive; `retention` deletes flows that ended
    well so long ago. `strict`, for tests, makes an error of what is only told otherwise: a value
    without annotation, a flow that does not ask again, or not in the same way, for what it recorded
    in this very process. Raises ConfigurationError for a URL or setting that cannot work.
    """

    def __init__(
        self,
        url: str | PostgreSQL,
        *,
        execute: bool = True,
        suspend_after: timedelta = timedelta(seconds=10),
        warm_limit: int = 20_000,
        concurrency: int = 1_000,
        lease: timedelta = timedelta(seconds=20),
        poll_interval: timedelta = timedelta(seconds=5),
        retention: timedelta | None = None,
        payload_limit: int = 1_048_576,
        poison_after: int = 5,
        depth_limit: int = 100,
        strict: bool = False,
        codec: Codec | None = None,
        threads: int = 32,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._random = random or SystemRandom()
        self._settings = Settings(
            execute=execute,
            lease=lease.total_seconds(),
            poll_interval=poll_interval.total_seconds(),
            suspend_after=suspend_after.total_seconds(),
            warm_limit=warm_limit,
            concurrency=concurrency,
            payload_limit=payload_limit,
            poison_after=poison_after,
            depth_limit=depth_limit,
            strict=strict,
            retention=None if retention is None else retention.total_seconds(),
        )
        self._store = open_store(url, clock=self._clock)
        self._serializer = Serializer(limit=payload_limit, codec=codec, strict=strict)
        self._events = Events()
        self._threads = max(1, threads)
        self._registrations: dict[str, Registration] = {}
        self._types: dict[str, FlowType] = {}
        self._engine: Engine | None = None
        self._pool: EffectThreads | None = None
        self._watch: LoopWatch | None = None
        self._process = 0
        self._starting: asyncio.Task[None] | None = None
        self._is_told_to_stop = False

    # flows

    @overload
    def register(self, definition: Flow[P, R], /) -> Flows[P, R]: ...
    @overload
    def register(
        self,
        definition: type[AsyncClassFlow[P, R]],
        factory: Factory[AsyncClassFlow[P, R]] | None = None,
        /,
    ) -> Flows[P, R]: ...
    @overload
    def register(self, definition: AsyncClassFlow[P, R], /) -> Flows[P, R]: ...
    def register(self, definition: Any, factory: Any = None, /) -> Flows[Any, Any]:
        """Make a flow known and give its typed handle; the same flow twice gives the same handle.

        Code written anew in the same place (a notebook's cell) replaces the former before start.
        A class may come with a factory, called for each incarnation, that gives an instance or an
        async context manager of one. An instance serves every incarnation. Raises RegistrationError
        for what is no flow or comes after the start, DuplicateFlow for two flows of one name.
        """
        registration = registration_of(definition, factory, self._serializer)
        known = [
            self._registrations[name]
            for name in (registration.type.name, *registration.type.aliases)
            if name in self._registrations
        ]
        redefined = [other for other in known if other.is_redefined_by(registration)]
        for other in known:
            if other not in redefined:
                other.check_same(registration)
        if known and not redefined:
            return Flows(known[0].type, self._running, Options())
        if self._engine is not None:
            what = "redefined" if redefined else "registered"
            raise RegistrationError(
                f"the flow {registration.type.name!r} is {what} after the start, when flows may "
                "already wait for it: register first, or restart the app"
            )
        for name in (registration.type.name, *registration.type.aliases):
            self._registrations[name] = registration
            self._types[name] = registration.type
        return Flows(registration.type, self._running, Options())

    def alias(self, name: str, replacement: type[object], /) -> None:
        """Read what is stored under the former name of a class as the class that replaced it.

        The name is `module:qualname`, as a parked flow shows it. Not needed where an annotation
        says what is stored. Raises RegistrationError for a name that none can be, or what is no
        class.
        """
        module, _, qualname = name.partition(":")
        if not (module and qualname and _is_class(replacement)):
            raise RegistrationError(
                f"alias({name!r}, {replacement!r}): give the former `module:Class`, and the class"
            )
        self._serializer.know(replacement)
        self._serializer.alias(name, replacement)

    def queue(self, name: str, /) -> LockQueue:
        """Give the queue of a lock or semaphore: who holds a place, who waits, and a way to help.

        Raises InvalidId for a bad name.
        """
        return LockQueue(self._running, name)

    # life

    async def start(self) -> None:
        """Connect, bring the schema up to date, and begin to work.

        Raises the StoreError family if the store cannot be used, AppNotRunning if it runs already
        or is stopped before it has started.
        """
        if self._engine is not None:
            raise AppNotRunning("the app is running already: one start for each stop")
        self._process = os.getpid()
        self._pool = EffectThreads(self._threads)
        services = Services(
            store=self._store,
            clock=self._clock,
            random=self._random,
            settings=self._settings,
            serializer=self._serializer,
            events=self._events,
            run_in_thread=self._run_in_thread,
            types=self._types,
        )
        engine = Engine(services)
        self._engine = engine
        starting = self._starting = asyncio.create_task(self._begin(engine))
        try:
            await starting
        except BaseException as error:
            self._engine = None
            self._pool.close()
            await self._store.close()
            if isinstance(error, asyncio.CancelledError) and self._is_told_to_stop:
                raise AppNotRunning("the app was stopped before it had started") from None
            raise
        finally:
            self._starting = None
            self._is_told_to_stop = False
        self._watch_loop()

    def _watch_loop(self) -> None:
        self._watch = LoopWatch(asyncio.get_running_loop(), self._events.emit)
        self._watch.start()

    async def _begin(self, engine: Engine) -> None:
        await self._store.open()
        await engine.start()

    async def stop(self, grace: timedelta = GRACE) -> None:
        """Hand every flow over and leave. After it no flow code runs and nothing is written.

        Effects that run have `grace` to end; what is cut then runs again elsewhere (at most once
        effects do not). A stopped app does nothing; it may be started again. Called while the app
        still starts, because its store does not answer, it ends that.
        """
        engine = self._engine
        if engine is None:
            return
        self._check_process()
        if self._starting is not None:
            self._is_told_to_stop = True
            self._starting.cancel()
            await asyncio.wait((self._starting,))
            return
        if self._watch is not None:
            self._watch.stop()
        # A clock that stands still while its test stops the app must not hold the stop up for ever.
        seconds = max(0.0, grace.total_seconds())
        late = asyncio.get_running_loop().call_later(seconds + 0.1, engine.hurry)
        try:
            await engine.stop(seconds)
        finally:
            late.cancel()
            self._engine = None
            if self._pool is not None:
                self._pool.close()
            await self._store.close()

    async def serve(self, grace: timedelta = GRACE) -> None:
        """Run until SIGINT or SIGTERM; a second signal ends the grace at once."""
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()
        again = asyncio.Event()

        def on_signal() -> None:
            (again if asked.is_set() else asked).set()

        signals = (signal.SIGINT, signal.SIGTERM)
        for one in signals:
            loop.add_signal_handler(one, on_signal)
        try:
            await self._serve_until(asked, again, grace)
        finally:
            for one in signals:
                loop.remove_signal_handler(one)

    async def _serve_until(
        self, asked: asyncio.Event, again: asyncio.Event, grace: timedelta
    ) -> None:
        """Start and run until it is asked to stop, which may be before it has started."""
        starting = asyncio.create_task(self.start())
        asking = asyncio.create_task(asked.wait())
        try:
            await asyncio.wait((starting, asking), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await asking
        finally:
            asking.cancel()
            await self._stop_unless_hurried(again, grace)
            await asyncio.wait((starting,))
            starting.exception()

    async def _stop_unless_hurried(self, again: asyncio.Event, grace: timedelta) -> None:
        stopping = asyncio.create_task(self.stop(grace))
        hurry = asyncio.create_task(again.wait())
        await asyncio.wait((stopping, hurry), return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done() and self._engine is not None:
            self._engine.hurry()
        hurry.cancel()
        await stopping

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    # telling

    @property
    def durability(self) -> str:
        """What a committed write survives, in words."""
        return self._store.durability

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with each event of the engine: ids and counts, never payloads."""
        self._events.subscribe(listener)

    # inside

    def _running(self) -> Engine:
        if self._engine is None or not self._engine.has_started:
            raise AppNotRunning("the app is not running: use `async with app` or await app.start()")
        self._check_process()
        return self._engine

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise AppNotRunning(
                "the app was started before this process was forked, and its connections belong to "
                "the other one: start it after the fork (gunicorn: in post_fork)"
            )

    async def _run_in_thread(self, call: Callable[[], object]) -> object:
        pool = self._pool
        if pool is None:
            raise AppNotRunning("the app was stopped")
        return await pool.run(call)

    def __repr__(self) -> str:
        is_running = self._engine is not None and self._engine.has_started
        state = "running" if is_running else "stopped" if self._engine is None else "starting"
        return f"<Unbroken {state}, {len(self._registrations)} flow type(s)>"


def _is_class(candidate: object) -> bool:
    return isinstance(candidate, type)
