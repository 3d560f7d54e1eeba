"""The Store protocol: all that the engine asks of a database.

Each method is one transaction of its own and the unit of atomicity. Reads see every write that was
acknowledged before. Any method may raise StoreUnavailable (nothing was applied, try again) or
StoreCorrupt. Only `commit` may raise OutcomeUnknown and BatchRefused. Instants are microseconds on
the store's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from unbroken.model.bus import Bus
from unbroken.model.records import Claimed, Effect, FlowRef, Message, Outcome, Parent, Reply, Status
from unbroken.stores.batch import Batch, Receipt


class Question(msgspec.Struct, frozen=True):
    """A message that waits for a reply: the flow's number and the message's key."""

    flow: int
    key: str


class Poll(msgspec.Struct, frozen=True):
    """What a replica should know: is something due, when is the next, what moved, what ended.

    `answered` are questions with their replies, `gone` those that exist no more: the flow went on
    anew and forgot them, or was deleted.
    """

    at: int
    next_due: int | None
    moved: tuple[int, ...] = ()
    ended: tuple[Outcome, ...] = ()
    answered: tuple[tuple[Question, Reply], ...] = ()
    gone: tuple[Question, ...] = ()


class Reaped(msgspec.Struct, frozen=True):
    """`dead` are owners without a row (now or earlier); `next_expiry` is the earliest lease end."""

    at: int
    removed: int
    dead: tuple[str, ...]
    next_expiry: int | None


class Inbox(msgspec.Struct, frozen=True):
    """Unconsumed messages of a flow and its counter, of one snapshot."""

    counter: int
    messages: tuple[Message, ...]


class FlowView(msgspec.Struct, frozen=True):
    """One flow as a reader sees it. `cancel` says that a cancel was asked."""

    flow: FlowRef
    status: Status
    owner: str | None
    due_at: int | None
    incarnation: int
    inbox: int
    version: int
    crashes: int
    created_at: int
    ended_at: int | None
    param: str
    cancel: bool = False
    failures: int = 0
    code: int = 1
    error: str | None = None
    parents: tuple[Parent, ...] = ()


class State(msgspec.Struct, frozen=True):
    """What a flow published last."""

    body: str
    type: str | None


class Place(msgspec.Struct, frozen=True):
    """One flow in the queue of a lock or semaphore, in the order of the queue."""

    flow: FlowRef
    holds: bool
    since: int


class Amendment(msgspec.Struct, frozen=True):
    """What an operator changes about a flow that nobody runs.

    `param` replaces the arguments. `forgets` are keys that go with all beneath; of a lock's effect,
    with its place in the queue. `restarts`: the
    flow is live and due now, whatever it was: result, error, failures, cancel (with its message),
    crashes and `failed_at` are gone, and effects at `failed_at` with all beneath, unless
    `key.begun` says of one that it may begin only once. Parents stay; a message that told one of
    the end and is not consumed yet goes.
    """

    param: str | None = None
    forgets: tuple[str, ...] = ()
    restarts: bool = False


class Finding(msgspec.Struct, frozen=True):
    """One fact about a database; `warning` says what is wrong with it and what would help."""

    name: str
    value: str
    warning: str | None = None


class Store(Protocol):
    """One database."""

    @property
    def durability(self) -> str:
        """Say in words what a committed transaction survives."""
        ...

    @property
    def is_durable(self) -> bool:
        """Whether what was committed survives power loss, or its owner said that it need not."""
        ...

    async def open(self) -> None:
        """Connect and bring the schema up to date.

        Raises SchemaTooNew, StoreUnavailable (read-only, cannot be opened) or ConfigurationError.
        """
        ...

    async def close(self) -> None:
        """Let go of every connection and thread; a second call does nothing."""
        ...

    async def examine(self) -> tuple[Finding, ...]:
        """Look at a database that need not be open, without changing anything, for a person.

        Raises StoreUnavailable, SchemaTooNew or ConfigurationError.
        """
        ...

    def migrations(self) -> str:
        """Give all migrations of the schema as SQL, for a person to review or to apply."""
        ...

    def bus(self) -> Bus:
        """Give the store's own way to hear of other processes' writes."""
        ...

    # replicas

    async def register(self, replica: str, lease: int = 0) -> int:
        """Insert a replica that was never tried before (generation 0, batch 0); return the time.

        `lease` is how many microseconds without a beat it wants to be spared at least.

        If the outcome is unknown the id is lost: take another, never try the same one twice.
        """
        ...

    async def beat(self, replica: str) -> bool:
        """Move the replica's beat to now. False: it was declared dead, its row is gone."""
        ...

    def beat_every(self, replica: str | None, seconds: float, lost: Callable[[], None]) -> None:
        """Beat by the store's own means, even while the event loop is blocked, until told `None`.

        `lost` is called once, in the event loop, when the row is gone.
        """
        ...

    def last_beat(self) -> float:
        """Give the monotonic time at which the last successful beat or batch was *sent*."""
        ...

    async def settle(self, replica: str, target: int) -> int | None:
        """Raise the generation to `target` if it is lower and return the number of the last batch.

        After it no earlier batch can land any more. None: the row is gone.
        """
        ...

    async def reap(self, me: str, lease: int) -> Reaped:
        """Delete every other replica whose beat is older than `lease` and its own lease.

        A transaction of its own; owners without a row are looked up in a later one.
        """
        ...

    # writes of a replica

    async def commit(self, batch: Batch) -> Receipt | None:
        """Apply a batch whole behind its fence. None: fenced, nothing was written.

        Raises OutcomeUnknown (settle before anything else) and BatchRefused (the contents).
        """
        ...

    # reads

    async def poll(
        self,
        replica: str,
        types: Sequence[str],
        awaited: Sequence[int],
        asked: Sequence[Question] = (),
    ) -> Poll:
        """Look for work.

        The earliest due time among ownerless flows of `types`, own flows whose inbox was moved by
        others, which of the `awaited` numbers have ended, and which of the `asked` are answered.
        """
        ...

    async def owned(self, replica: str) -> dict[int, int]:
        """Give number and incarnation of every flow the replica owns."""
        ...

    async def load(self, replica: str, numbers: Sequence[int]) -> tuple[Claimed, ...]:
        """Read owned flows again as a claim would have returned them; others are left out."""
        ...

    async def read_inbox(self, flow: int) -> Inbox | None:
        """Read the unconsumed messages of a flow in order of position. None: no such flow."""
        ...

    async def find(self, type: str, id: str) -> Outcome | None:
        """Read how a flow stands. None: absent."""
        ...

    async def view(self, type: str, id: str) -> FlowView | None:
        """Read one flow's row. None: absent."""
        ...

    async def read_effects(self, flow: int) -> tuple[Effect, ...]:
        """Read all that a flow has recorded, in the order of keys."""
        ...

    async def read_state(self, type: str, id: str) -> State | None:
        """Read what a flow published last. None: nothing, or absent."""
        ...

    async def read_reply(self, question: Question) -> Reply | None:
        """Read the reply to a message. None: not answered yet, or absent."""
        ...

    async def correlated(self, type: str, correlation: str) -> tuple[FlowRef, ...]:
        """Find the flows of a type that a correlation id reaches, oldest first.

        Live and parked ones; who has ended is reached no more.
        """
        ...

    async def places(self, queue: str) -> tuple[Place, ...]:
        """Read the queue of a lock or semaphore: holders, then those who wait, in order."""
        ...

    async def list_flows(
        self, type: str, statuses: Sequence[Status], after: int, limit: int
    ) -> tuple[FlowView, ...]:
        """List flows of a type by number, those above `after`; no statuses means all."""
        ...

    # operators

    async def amend(self, flow: int, version: int, amendment: Amendment) -> bool:
        """Change a flow that nobody owns. False: it was moved since `version`, or is owned."""
        ...

    async def mend(self, types: Sequence[str]) -> int:
        """Let flows that were parked as mendable try again: live and due now; give how many.

        Their inbox, and a cancel that was asked for meanwhile, stay.
        """
        ...

    # housekeeping

    async def delete_ended(self, before: int, limit: int) -> int:
        """Delete up to `limit` flows done before the instant, with all that is theirs."""
        ...

    async def delete_flow(self, type: str, id: str) -> bool:
        """Delete one ended or parked flow with all that is its. False: absent or live."""
        ...
