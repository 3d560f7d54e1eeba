"""What this very process has recorded: code that ran here cannot have changed since.

Kept only in strict mode, where a flow that does not fit its own record is parked, and not only
reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from unbroken.model.records import Effect

if TYPE_CHECKING:
    from unbroken.engine.incarnation import Incarnation


class Run(NamedTuple):
    """Incarnations in a row that ran here, with the same arguments."""

    first: int
    last: int
    param: int


class OwnRuns:
    """Which incarnations of each flow ran on the code that runs here."""

    def __init__(self, *, strict: bool) -> None:
        self._runs: dict[int, Run] | None = {} if strict else None

    def begins(self, incarnation: Incarnation) -> None:
        """A flow begins to run here, maybe again.

        What another process ran in between, a failure, and other arguments begin a new row.
        """
        if self._runs is None:
            return
        number, param = incarnation.number, hash(incarnation.param)
        run = self._runs.get(incarnation.flow.number)
        is_next = run is not None and number <= run.last + 1 and param == run.param
        first = run.first if run is not None and is_next and not incarnation.failures else number
        self._runs[incarnation.flow.number] = Run(first, number, param)

    def ends(self, incarnation: Incarnation) -> None:
        """A flow has ended: a restart of it may go another way."""
        if self._runs is not None:
            self._runs.pop(incarnation.flow.number, None)

    def recorded(self, incarnation: Incarnation, effect: Effect) -> bool:
        """Whether this process is known to have recorded an effect with the code that runs now."""
        run = self._runs.get(incarnation.flow.number) if self._runs is not None else None
        return run is not None and run.first <= effect.incarnation < incarnation.number
