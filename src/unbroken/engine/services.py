"""What an incarnation needs from the engine around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from unbroken.engine.committer import Committer
from unbroken.engine.effect_spec import EffectSpecs
from unbroken.engine.events import Events
from unbroken.engine.flow_type import FlowType
from unbroken.engine.loop_limits import LoopLimits
from unbroken.engine.own_runs import OwnRuns
from unbroken.engine.replica import Backoff, Replica
from unbroken.engine.replies import Replies
from unbroken.engine.rest import Rest
from unbroken.engine.settings import Settings
from unbroken.model.clock import Clock
from unbroken.model.randomness import Random
from unbroken.serialization.serializer import Serializer
from unbroken.stores.batch import Appended, NewMessage
from unbroken.stores.store import Store

if TYPE_CHECKING:
    from unbroken.engine.incarnation import Incarnation

RunInThread = Callable[[Callable[[], object]], Awaitable[object]]


class Warmth(Protocol):
    """Decides how long a waiting flow stays in memory."""

    def cool(self, incarnation: Incarnation, stay: float) -> None:
        """All branches wait: let it go after `stay` seconds."""
        ...

    def warm(self, incarnation: Incarnation) -> None:
        """A branch runs again."""
        ...


class Services:
    """The engine's parts, by name."""

    __slots__ = (
        "clock",
        "committer",
        "deliver",
        "events",
        "look_for_work",
        "loop_limits",
        "own_runs",
        "random",
        "replica",
        "replies",
        "rest",
        "run_in_thread",
        "serializer",
        "settings",
        "specs",
        "store",
        "types",
        "warmth",
        "watch_leaving",
    )

    committer: Committer
    warmth: Warmth
    look_for_work: Callable[[], None]
    watch_leaving: Callable[[Incarnation], None]
    deliver: Callable[[Appended, NewMessage], None]

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        random: Random,
        settings: Settings,
        serializer: Serializer,
        events: Events,
        run_in_thread: RunInThread,
        types: dict[str, FlowType],
    ) -> None:
        self.store = store
        self.clock = clock
        self.random = random
        self.settings = settings
        self.serializer = serializer
        self.events = events
        self.run_in_thread = run_in_thread
        self.types = types
        self.specs = EffectSpecs(serializer)
        self.loop_limits = LoopLimits(events)
        self.own_runs = OwnRuns(strict=settings.strict)
        self.replies = Replies()
        self.rest = Rest()
        self.replica = Replica(store, clock, random, settings, events, self.rest)

    def backoff(self) -> Backoff:
        """Give pauses for one who tries again while the store does not answer."""
        return Backoff(self.clock, self.random, self.settings.max_backoff, self.rest)
