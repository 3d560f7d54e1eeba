"""Logging inside of flows: what a replay says again is dropped, and each record names its flow.

`ReplayFilter` goes on any logger or handler; `current_flow().logger` has it built in. Nothing is
dropped that is said for the first time; after a crash a line may come twice.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from unbroken.engine.events import logger as engine_logger
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.scope import SCOPE


class ReplayFilter(logging.Filter):
    """Drops what a flow logs while it is replayed, and adds `flow_type`, `flow_id`, `incarnation`.

    On a handler it serves all loggers; on a logger only what is logged through that one. Records
    from outside of flows pass, with None in the three fields; what the engine itself reports passes
    always.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the record is to be logged."""
        scope = SCOPE.get(None)
        incarnation = None if scope is None else scope.incarnation
        if not hasattr(record, "flow_id"):
            vars(record).update(_fields_of(incarnation))
        if incarnation is None or record.name == engine_logger.name:
            return super().filter(record)
        return not incarnation.repeats and super().filter(record)


class FlowLogger(logging.LoggerAdapter[logging.Logger]):
    """The logger of one running flow: silent while it is replayed; each record names the flow."""

    def __init__(self, incarnation: Incarnation) -> None:
        logger = logging.getLogger(f"unbroken.flow.{incarnation.flow.type}")
        super().__init__(logger, _fields_of(incarnation))
        self._incarnation = incarnation

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  logging's own name
        """Say whether a record of this level would be logged now."""
        return not self._incarnation.repeats and super().isEnabledFor(level)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the fields of the flow to those of the caller."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def _fields_of(incarnation: Incarnation | None) -> dict[str, object]:
    if incarnation is None:
        return {"flow_type": None, "flow_id": None, "incarnation": None}
    flow = incarnation.flow
    return {"flow_type": flow.type, "flow_id": flow.id, "incarnation": incarnation.number}
