"""Turns how a flow ended into what its caller gets."""

from __future__ import annotations

from unbroken.model.errors import FlowCancelled, FlowFailed, FlowParked, FlowTimedOut
from unbroken.model.records import Outcome, Status
from unbroken.serialization.serializer import Payload, Serializer


def result_of(
    outcome: Outcome, returns: object, serializer: Serializer, live: BaseException | None
) -> object:
    """Decode a fresh result, or raise FlowFailed, FlowCancelled (FlowTimedOut) or FlowParked."""
    match outcome.status:
        case Status.DONE:
            return serializer.decode(Payload(outcome.type, outcome.body or "null"), returns)
        case Status.CANCELLED:
            raise (FlowTimedOut if outcome.error else FlowCancelled)(outcome.flow.id)
        case Status.PARKED:
            raise FlowParked(outcome.flow.id, serializer.error_info(outcome.error or "{}"))
        case Status.FAILED | Status.LIVE:
            info = serializer.error_info(outcome.error or "{}")
            raise FlowFailed(outcome.flow.id, info) from live
