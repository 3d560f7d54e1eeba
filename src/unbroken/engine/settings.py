"""Every limit and pace of the engine, with its default. Seconds unless the name says otherwise."""

from __future__ import annotations

import msgspec

from unbroken.model.errors import ConfigurationError

SMALLEST_LEASE = 0.1
SMALLEST_PAYLOAD_LIMIT = 1024


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How one engine behaves."""

    execute: bool = True
    """Whether this process runs flows; False makes it a client."""
    lease: float = 20.0
    """A replica that did not beat for so long is dead."""
    poll_interval: float = 5.0
    """The safety net under pushed wake-ups."""
    suspend_after: float = 10.0
    """How long a waiting flow stays in memory."""
    warm_limit: int = 20_000
    """How many waiting flows may stay in memory."""
    concurrency: int = 1_000
    """How many flows may run at the same time in this process."""
    claim_limit: int = 200
    """How many flows are claimed in one transaction."""
    batch_limit: int = 1_000
    """How many writes share one transaction."""
    payload_limit: int = 1_048_576
    """Bytes of one value."""
    poison_after: int = 5
    """A flow that lost its replica so often without progress is parked."""
    depth_limit: int = 100
    """How many flows may start one another in a chain."""
    strict: bool = False
    """Whether code that does not fit what it recorded itself is an error, and not only told."""
    retention: float | None = None
    """Flows that ended well are deleted after so long; None keeps them."""
    unwind_grace: float = 1.0
    """How long user code may take to leave memory before it is left behind."""
    max_backoff: float = 5.0
    """The longest pause between two tries of a store that does not answer."""

    def __post_init__(self) -> None:
        """Raise ConfigurationError for a value that cannot work."""
        is_valid = {
            "lease": self.lease >= SMALLEST_LEASE,
            "poll_interval": self.poll_interval > 0,
            "suspend_after": self.suspend_after >= 0,
            "warm_limit": self.warm_limit >= 0,
            "concurrency": self.concurrency >= 1,
            "payload_limit": self.payload_limit >= SMALLEST_PAYLOAD_LIMIT,
            "poison_after": self.poison_after >= 1,
            "depth_limit": self.depth_limit >= 1,
            "retention": self.retention is None or self.retention >= 0,
        }
        for setting, valid in is_valid.items():
            if not valid:
                raise ConfigurationError(
                    f"Unbroken({setting}=…): {getattr(self, setting)} is out of its range"
                )
