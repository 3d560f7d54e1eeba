"""Durable execution for Python: ordinary functions that run to their end.

Correctly, through crashes, restarts, deployments and year-long waits, with nothing but a database.
"""

from unbroken.app import Unbroken
from unbroken.engine.events import Event
from unbroken.flows.branches import gather
from unbroken.flows.capture import capture, effect
from unbroken.flows.context import current_flow
from unbroken.flows.definition import Flow, flow
from unbroken.flows.handle import FlowInfo, Flows, Start
from unbroken.flows.messages import Envelope, MessageWriter
from unbroken.flows.scheduled import Scheduled
from unbroken.flows.waits import message, now, postpone, sleep, sleep_until, suspend
from unbroken.model.errors import (
    AppNotRunning,
    BatchRefused,
    ConfigurationError,
    DeserializationError,
    DuplicateFlow,
    EffectFailed,
    EffectInterrupted,
    ErrorInfo,
    FlowCancelled,
    FlowFailed,
    FlowNotFound,
    FlowParked,
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
    RegistrationError,
    ReplayMismatch,
    SchemaTooNew,
    SerializationError,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
    UnbrokenError,
    UsageError,
    ValueChanged,
)
from unbroken.model.records import Delivery, Status
from unbroken.model.retry import Retry
from unbroken.serialization.codec import Codec

__all__ = [
    "AppNotRunning",
    "BatchRefused",
    "Codec",
    "ConfigurationError",
    "Delivery",
    "DeserializationError",
    "DuplicateFlow",
    "EffectFailed",
    "EffectInterrupted",
    "Envelope",
    "ErrorInfo",
    "Event",
    "Flow",
    "FlowCancelled",
    "FlowFailed",
    "FlowInfo",
    "FlowNotFound",
    "FlowParked",
    "Flows",
    "ForgottenAwait",
    "GeneratorRefused",
    "InvalidId",
    "MessageWriter",
    "NameRequired",
    "NameTaken",
    "NotInFlow",
    "NotRegistered",
    "NotSerializable",
    "ParamIgnored",
    "PayloadTooLarge",
    "RegistrationError",
    "ReplayMismatch",
    "Retry",
    "Scheduled",
    "SchemaTooNew",
    "SerializationError",
    "Start",
    "Status",
    "StoreCorrupt",
    "StoreError",
    "StoreUnavailable",
    "Unbroken",
    "UnbrokenError",
    "UsageError",
    "ValueChanged",
    "capture",
    "current_flow",
    "effect",
    "flow",
    "gather",
    "message",
    "now",
    "postpone",
    "sleep",
    "sleep_until",
    "suspend",
]
