"""Every error a user of Unbroken can meet, as one tree.

    UnbrokenError
    ├── ConfigurationError          a URL or setting that cannot work
    ├── RegistrationError           a flow that cannot be registered
    │   ├── DuplicateFlow           one name for two flows
    │   └── NotRegistered           a flow type this app does not know
    ├── AppNotRunning               used before start, after stop, or after a fork
    ├── InvalidId                   an id or key that no store may hold
    ├── FlowNotFound                no flow with that id
    ├── EffectNotFound              no result under that name, seen from outside
    ├── FlowFailed                  the flow (or child) ended with an error
    ├── FlowCancelled               the flow (or child) was cancelled
    │   └── FlowTimedOut            because its own deadline passed
    ├── FlowParked                  the flow stopped until an operator or a deploy helps
    ├── FlowEnded                   a question to a flow that ended without an answer
    ├── FlowMoved                   a control panel that is out of date, or whose flow runs
    ├── QuestionRefused             the flow refused the question; says why
    ├── StreamEnded                 a stream ended and nothing reached its end
    ├── UndoFailed                  undoing a saga failed too: a person must look
    ├── PoisonFlow                  why a flow was parked: it took its process down again and again
    ├── UsageError                  a primitive used where it cannot work
    │   ├── NotInFlow               outside of a flow
    │   ├── NameRequired            a lambda, or an unnamed effect in a foreign task
    │   ├── NameTaken               one name used twice in a foreign task
    │   ├── TooDeep                 a chain of flows that start flows without end
    │   ├── ForgottenAwait          effects taken and never awaited
    │   └── GeneratorRefused        a generator where a value is needed
    ├── ReplayMismatch              code and journal disagree: name, kind or arguments
    ├── EffectFailed                a recorded error whose class cannot be rebuilt
    ├── EffectInterrupted           an at-most-once effect began and never ended
    ├── WeakDurability              at most once, on a database that may forget that it began
    ├── SerializationError          a value that cannot be kept (.path)
    │   ├── NotSerializable
    │   ├── ValueChanged
    │   └── PayloadTooLarge
    ├── DeserializationError        stored data that the code's types do not fit (.path)
    └── StoreError
        ├── StoreUnavailable        not applied; safe to try again
        ├── OutcomeUnknown          may or may not have been applied
        ├── BatchRefused            the database refuses the contents
        ├── StoreCorrupt            a row that cannot be read
        └── SchemaTooNew            written by a newer version of Unbroken

`ParamIgnored` stands beside the tree: it is a warning.
"""

from __future__ import annotations


class UnbrokenError(Exception):
    """Base of all errors of this library."""


class ConfigurationError(UnbrokenError):
    """A URL or setting that cannot work."""


class RegistrationError(UnbrokenError):
    """A flow that cannot be registered."""


class DuplicateFlow(RegistrationError):
    """One name stands for two flows."""


class NotRegistered(RegistrationError):
    """This app does not know the flow type."""


class AppNotRunning(UnbrokenError):
    """The app is not running: start it with `async with app` or `await app.start()`."""


class InvalidId(UnbrokenError, ValueError):
    """An id or key that no store may hold."""


class FlowNotFound(UnbrokenError, LookupError):
    """No flow of this type has that id."""


class EffectNotFound(UnbrokenError, LookupError):
    """The flow has recorded no result under that name."""


class ErrorInfo:
    """What is kept of a flow's error: its type, message and traceback, as text."""

    __slots__ = ("message", "traceback", "type")

    def __init__(self, type: str, message: str, traceback: str = "") -> None:
        self.type = type
        self.message = message
        self.traceback = traceback

    def __repr__(self) -> str:
        return f"ErrorInfo(type={self.type!r}, message={self.message!r})"


class FlowFailed(UnbrokenError):
    """The flow ended with an error; `error` says which, wherever the flow ran."""

    def __init__(self, flow_id: str, error: ErrorInfo) -> None:
        super().__init__(flow_id, error)
        self.flow_id = flow_id
        self.error = error

    def __str__(self) -> str:
        return f"flow {self.flow_id!r} failed: {self.error.type}: {self.error.message}"


class FlowCancelled(UnbrokenError):
    """The flow was cancelled: raised once inside of it, and to everyone who awaits it."""

    def __init__(self, flow_id: str) -> None:
        super().__init__(flow_id)
        self.flow_id = flow_id

    def __str__(self) -> str:
        return f"flow {self.flow_id!r} was cancelled"


class FlowTimedOut(FlowCancelled, TimeoutError):
    """The flow took longer than its declared time-out, which cancelled it."""

    def __str__(self) -> str:
        return f"flow {self.flow_id!r} took longer than its time-out and was cancelled"


class FlowEnded(UnbrokenError):
    """The flow ended before it answered the question."""

    def __init__(self, flow_id: str) -> None:
        super().__init__(flow_id)
        self.flow_id = flow_id

    def __str__(self) -> str:
        return f"flow {self.flow_id!r} ended and did not answer"


class FlowMoved(UnbrokenError):
    """The flow changed since the control panel was read, or runs now: read it again and decide."""


class QuestionRefused(UnbrokenError):
    """The flow refused a question; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StreamEnded(UnbrokenError, LookupError):
    """A stream ended and nothing reached its end: use first_or_none, or wait for longer."""


class UndoFailed(UnbrokenError):
    """Undoing a saga failed: what was done is in part still there, and a person must look.

    `keys` are those of the undo effects that failed; the first error is the cause.
    """

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__(keys)
        self.keys = keys

    def __str__(self) -> str:
        return f"could not undo: {', '.join(self.keys)}"


class FlowParked(UnbrokenError):
    """The flow stands still until a repaired deploy or an operator restarts it."""

    def __init__(self, flow_id: str, error: ErrorInfo) -> None:
        super().__init__(flow_id, error)
        self.flow_id = flow_id
        self.error = error

    def __str__(self) -> str:
        return f"flow {self.flow_id!r} is parked: {self.error.type}: {self.error.message}"


class PoisonFlow(UnbrokenError):
    """The flow took its process down again and again: find out why, then restart it."""

    def __str__(self) -> str:
        return self.__doc__ or ""


class UsageError(UnbrokenError):
    """A primitive was used where it cannot work."""


class NotInFlow(UsageError, RuntimeError):
    """The primitive works only inside a running flow."""


class NameRequired(UsageError):
    """The effect needs a name of its own."""


class NameTaken(UsageError):
    """The name was already used in this scope by another task."""


class TooDeep(UsageError):
    """Flows started flows that started flows, deeper than the limit."""


class ForgottenAwait(UsageError):
    """The flow ended with effects that were taken and never awaited."""


class GeneratorRefused(UsageError, TypeError):
    """A generator cannot be recorded: return a list, or use for_each."""


class ReplayMismatch(UnbrokenError):
    """The code asks for one thing and the journal holds another."""

    def __init__(self, key: str, expected: str, found: str) -> None:
        super().__init__(key, expected, found)
        self.key = key
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return (
            f"effect {self.key!r}: the code asks for {self.expected}, the journal holds "
            f"{self.found}. Deploy code that fits the journal, or restart the flow."
        )


class EffectFailed(UnbrokenError):
    """An effect failed with an error whose class cannot be rebuilt from the journal."""

    def __init__(self, type: str, message: str) -> None:
        super().__init__(type, message)
        self.type = type
        self.message = message

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


class EffectInterrupted(UnbrokenError):
    """An at-most-once effect began and its end was never recorded: its outcome is unknown."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return (
            f"the at-most-once effect {self.key!r} began and its end was never recorded; "
            "whether it happened is unknown. Catch EffectInterrupted to decide in code, "
            "or let the flow fail and let a person decide."
        )


class WeakDurability(UnbrokenError):
    """An at-most-once effect on a database that may lose what it has committed."""

    def __init__(self, key: str, survives: str) -> None:
        super().__init__(
            f"the effect {key!r} may begin only once, but what this database commits survives only "
            f"{survives}. Make the server durable, or accept the loss: "
            "PostgreSQL(url=…, accept_loss=True) or ?accept_loss=on"
        )


class SerializationError(UnbrokenError, ValueError):
    """A value that cannot be kept; `path` points at the field."""

    def __init__(self, message: str, path: str = "$") -> None:
        super().__init__(message, path)
        self.message = message
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class NotSerializable(SerializationError):
    """The value has no faithful form in the store."""


class ValueChanged(SerializationError):
    """The value would come back as another type or another value."""


class PayloadTooLarge(SerializationError):
    """The value is larger than the limit."""

    def __init__(self, size: int, limit: int, key: str = "") -> None:
        where = f" of {key!r}" if key else ""
        super().__init__(
            f"the payload{where} has {size} bytes, the limit is {limit}: store the large part "
            "elsewhere and keep a reference, or raise `payload_limit`"
        )
        self.size = size
        self.limit = limit
        self.key = key


class DeserializationError(UnbrokenError, ValueError):
    """Stored data does not fit the code's types; the flow is parked until a deploy repairs it."""

    def __init__(
        self, message: str, path: str = "$", *, expected: str = "", found: str = ""
    ) -> None:
        super().__init__(message, path)
        self.message = message
        self.path = path
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class StoreError(UnbrokenError):
    """The database did not do what was asked."""


class StoreUnavailable(StoreError):
    """Nothing was applied; the same call may be made again."""


class OutcomeUnknown(StoreError):
    """The transaction may or may not have been applied; only settling the replica can tell."""


class BatchRefused(StoreError):
    """The database refuses the contents of the batch; nothing was applied."""


class StoreCorrupt(StoreError):
    """A stored row cannot be read."""


class SchemaTooNew(StoreError):
    """The schema was written by a newer version of Unbroken: upgrade this process."""


class ParamIgnored(UserWarning):
    """A flow with this id existed already with other arguments; the caller was attached to it."""
