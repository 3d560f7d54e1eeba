"""What the engine tells those who watch it. Events carry ids and counts, never payloads."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

logger = logging.getLogger("unbroken")
MOST_TOLD_ONCE = 1_000


class Event(msgspec.Struct, frozen=True):
    """Something that happened: a stable `name`, the flow it concerns, and a sentence."""

    name: str
    text: str
    flow_type: str | None = None
    flow_id: str | None = None
    level: int = logging.INFO


class Events:
    """Gives each event to the log and to every listener."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Event], None]] = []
        self._told: set[tuple[str, str]] = set()

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with each event; an error in it is logged and goes no further."""
        self._listeners.append(listener)

    def emit_once(self, event: Event, about: str) -> None:
        """Tell everyone, unless an event of this name was told about the same before."""
        told = (event.name, about)
        if told not in self._told and len(self._told) < MOST_TOLD_ONCE:
            self._told.add(told)
            self.emit(event)

    def emit(self, event: Event) -> None:
        """Tell everyone."""
        where = f" [{event.flow_type} {event.flow_id!r}]" if event.flow_id is not None else ""
        logger.log(event.level, "%s: %s%s", event.name, event.text, where)
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                logger.exception("a listener failed on %s", event.name)
