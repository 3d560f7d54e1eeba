"""Durable execution for Python: ordinary functions that run to their end.

Correctly, through crashes, restarts, deployments and year-long waits, with nothing but a database.
"""

from unbroken.app import Unbroken
from unbroken.engine.events import Event
from unbroken.flows.branches import gather, race
from unbroken.flows.capture import capture, effect
from unbroken.flows.context import current_flow
from unbroken.flows.correlation import correlate, uncorrelate
from unbroken.flows.definition import Flow, flow
from unbroken.flows.handle import Flows
from unbroken.flows.initial import InitialMessage, InitialState
from unbroken.flows.locks import LockQueue, QueuedFlow, lock, semaphore
from unbroken.flows.logs import FlowLogger, ReplayFilter
from unbroken.flows.loops import for_each
from unbroken.flows.messages import Envelope, MessageWriter
from unbroken.flows.panel import ControlPanel, EffectInfo
from unbroken.flows.patches import patched
from unbroken.flows.questions import Question, question
from unbroken.flows.saga import Saga, saga
from unbroken.flows.scheduled import Scheduled
from unbroken.flows.starts import FlowInfo, Start
from unbroken.flows.streams import Messages, messages
from unbroken.flows.waits import message, now, postpone, sleep, sleep_until, suspend
from unbroken.model.errors import (
    AppNotRunning,
    BatchRefused,
    ConfigurationError,
    DeserializationError,
    DuplicateFlow,
    EffectFailed,
    EffectInterrupted,
    EffectNotFound,
    ErrorInfo,
    FlowCancelled,
    FlowEnded,
    FlowFailed,
    FlowMoved,
    FlowNotFound,
    FlowParked,
    FlowTimedOut,
    ForgottenAwait,
    GeneratorRefused,
    InvalidId,
    NameRequired,
    NameTaken,
    NotInFlow,
    NotRegistered,
    NotSerializable,
    ParamIgnored,
    PayloadTooLarge,
    QuestionRefused,
    RegistrationError,
    ReplayMismatch,
    SchemaTooNew,
    SerializationError,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
    StreamEnded,
    TooDeep,
    UnbrokenError,
    UndoFailed,
    UsageError,
    ValueChanged,
    WeakDurability,
)
from unbroken.model.records import Delivery, Status
from unbroken.model.retry import Retry
from unbroken.serialization.codec import Codec
from unbroken.stores.postgresql.address import PostgreSQL

__all__ = [
    "AppNotRunning",
    "BatchRefused",
    "Codec",
    "ConfigurationError",
    "ControlPanel",
    "Delivery",
    "DeserializationError",
    "DuplicateFlow",
    "EffectFailed",
    "EffectInfo",
    "EffectInterrupted",
    "EffectNotFound",
    "Envelope",
    "ErrorInfo",
    "Event",
    "Flow",
    "FlowCancelled",
    "FlowEnded",
    "FlowFailed",
    "FlowInfo",
    "FlowLogger",
    "FlowMoved",
    "FlowNotFound",
    "FlowParked",
    "FlowTimedOut",
    "Flows",
    "ForgottenAwait",
    "GeneratorRefused",
    "InitialMessage",
    "InitialState",
    "InvalidId",
    "LockQueue",
    "MessageWriter",
    "Messages",
    "NameRequired",
    "NameTaken",
    "NotInFlow",
    "NotRegistered",
    "NotSerializable",
    "ParamIgnored",
    "PayloadTooLarge",
    "PostgreSQL",
    "Question",
    "QuestionRefused",
    "QueuedFlow",
    "RegistrationError",
    "ReplayFilter",
    "ReplayMismatch",
    "Retry",
    "Saga",
    "Scheduled",
    "SchemaTooNew",
    "SerializationError",
    "Start",
    "Status",
    "StoreCorrupt",
    "StoreError",
    "StoreUnavailable",
    "StreamEnded",
    "TooDeep",
    "Unbroken",
    "UnbrokenError",
    "UndoFailed",
    "UsageError",
    "ValueChanged",
    "WeakDurability",
    "capture",
    "correlate",
    "current_flow",
    "effect",
    "flow",
    "for_each",
    "gather",
    "lock",
    "message",
    "messages",
    "now",
    "patched",
    "postpone",
    "question",
    "race",
    "saga",
    "semaphore",
    "sleep",
    "sleep_until",
    "suspend",
    "uncorrelate",
]
