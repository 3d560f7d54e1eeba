"""Going through a stream, message after message: each turn is one effect.

What a turn gives is computed anew on a replay, from the messages that its record holds: that brings
back what the operators remember.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from unbroken.engine.consumed import Taken, Turn
from unbroken.engine.operators import NOTHING, Pipeline
from unbroken.engine.pulling import End, OperatorFailed, Pull, Stream, hold, inside, read_as
from unbroken.engine.scope import Scope
from unbroken.engine.waits import arrive
from unbroken.model.errors import ReplayMismatch, UsageError
from unbroken.model.records import Effect, Kind


class Iteration:
    """One way through a stream, and what its operators remember."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._pipeline = Pipeline(stream.operators)
        self._due: int | None = None
        self._is_over = False
        self._error: Exception | None = None
        self._under_way: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether no turn follows."""
        return self._is_over or (self._pipeline.is_complete and self._under_way is None)

    def begin(self, take_key: Callable[[], str]) -> str:
        """Begin a turn: give its key.

        Raises what an operator raised before, or UsageError if a turn was not finished.
        """
        if self._error is not None:
            raise self._error
        if self._under_way is not None:
            raise UsageError(
                f"the turn {self._under_way!r} was cut or is still under way: go through the "
                "messages one at a time, and begin a new `async for` after a cut"
            )
        self._under_way = take_key()
        return self._under_way

    async def take(self, scope: Scope, key: str) -> object:
        """Give the next value, or NOTHING at the end of the stream. Raises what operators raise."""
        incarnation = scope.incarnation
        await arrive(scope, key)
        effect = incarnation.recorded(key, Kind.STREAM)
        value = await (self._pull(scope, key) if effect is None else self._feed(scope, effect))
        self._under_way = None
        self._is_over = value is NOTHING
        return value

    async def _pull(self, scope: Scope, key: str) -> object:
        pull = Pull(scope, key, self._stream, self._pipeline, self._due)
        try:
            is_over = await pull.until(End.FIRST, marks=self._due is None)
        except OperatorFailed as failure:
            self._error = await pull.fail(failure.error)
            raise self._error from failure.error
        except BaseException:
            pull.give_back()
            raise
        taken = [Taken(m.position, m.type, msgspec.Raw(m.body.encode())) for m in pull.taken]
        self._due = pull.deadline
        await pull.record(Turn(taken, bool(pull.found), is_over, pull.deadline))
        return pull.found[0] if pull.found else NOTHING

    async def _feed(self, scope: Scope, effect: Effect) -> object:
        """Feed what a recorded turn consumed. Parks if it does not give what it gave."""
        incarnation = scope.incarnation
        if effect.failed:
            error = incarnation.services.serializer.rebuild_exception(effect.body)
            self._error = incarnation.blame(effect.key, error)
            raise self._error
        turn = read_as(incarnation, effect, Turn, "a turn of a stream")
        hold(incarnation, effect)
        self._due = turn.due
        values: list[object] = []
        run = inside(scope, effect.key).run
        try:
            for one in turn.taken:
                message = self._stream.source.read(one.type, bytes(one.body).decode())
                values.append(run(self._pipeline.feed, message))
            if turn.is_over:
                values.append(run(self._pipeline.finish))
        except OperatorFailed as failure:
            found = f"messages at which its operators raise no {type(failure.error).__name__}"
            raise incarnation.park(_other_turn(effect.key, found)) from failure.error
        gives = [index for index, value in enumerate(values) if value is not NOTHING]
        if gives != ([len(values) - 1] if turn.gives else []) or not (
            turn.gives or self._pipeline.is_complete
        ):
            found = "one value, at the last" if turn.gives else "none, and ended the stream"
            raise incarnation.park(_other_turn(effect.key, f"messages that gave {found}"))
        return values[-1] if gives else NOTHING


def _other_turn(key: str, found: str) -> ReplayMismatch:
    return ReplayMismatch(key, "a turn of a stream with other operators", found)
