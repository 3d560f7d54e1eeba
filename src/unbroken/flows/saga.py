"""`saga`: what was done is undone, in reverse order, if the block does not reach its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, ParamSpec, Self, overload

from unbroken.engine.branches import see_through
from unbroken.engine.cancelling import heed_cancel
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.scope import SCOPE, Scope, current_scope, scope_for_wait
from unbroken.flows.capture import Prepared, prepare
from unbroken.model import signals
from unbroken.model.errors import FlowCancelled, ReplayMismatch, UndoFailed, UsageError
from unbroken.model.ids import check_name
from unbroken.model.records import Effect, Kind

P = ParamSpec("P")


class Saga:
    """A block of a flow with a way back; made by `saga()`."""

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._undos: list[Prepared] = []
        self._outer: Saga | None = None
        self._scope: Scope | None = None
        self._key = ""
        self._tokens: tuple[Token[Scope], Token[Saga | None]] | None = None

    @overload
    def undo(
        self, work: Callable[P, Awaitable[object]], /, *args: P.args, **kwargs: P.kwargs
    ) -> None: ...
    @overload
    def undo(self, work: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None: ...
    @overload
    def undo(
        self, name: str, work: Callable[P, Awaitable[object]], /, *args: P.args, **kwargs: P.kwargs
    ) -> None: ...
    @overload
    def undo(
        self, name: str, work: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs
    ) -> None: ...
    def undo(self, first: Any, /, *args: Any, **kwargs: Any) -> None:
        """Say how to undo what was just done; a captured function and its arguments.

        Runs only if the block fails or the flow is cancelled in it, once, recorded like any
        capture. Say it before the effect if half of it may happen and undoing it is harmless.
        """
        if self._tokens is None:
            raise UsageError("saga.undo(…) works inside of its own `async with saga()` block")
        around = AROUND_THE_LOOP.get()
        if around is not None and around.is_in(self):
            raise UsageError(
                "saga.undo(…) in an item of for_each(…), for a saga around the loop: it would be "
                "forgotten with the item. Open a saga in the item, or loop with a plain `for`"
            )
        self._undos.append(prepare(current_scope("saga.undo(…)"), first, args, kwargs, "undo:"))

    async def __aenter__(self) -> Self:
        if self._scope is not None:
            raise UsageError("a saga is entered once: write `async with saga() as …` each time")
        scope = scope_for_wait("saga()")
        self._key = scope.take(self._name or "saga", explicit=self._name is not None)
        self._scope = scope
        outer = SAGA.get(None)
        # Of another flow if a body of that one started this one here: not ours to be undone with.
        self._outer = outer if outer is not None and outer.is_of(scope.incarnation) else None
        inside = Scope(scope.incarnation, f"{self._key}/", asyncio.current_task())
        self._tokens = SCOPE.set(inside), SAGA.set(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._scope is not None
        assert self._tokens is not None
        incarnation = self._scope.incarnation
        try:
            if error is None:
                await self._end()
                if self._outer is not None:
                    self._outer.take_over(self._undos)
            elif not (signals.is_signal(error) or incarnation.is_sealed):
                await self._unwind(error)
        finally:
            scope, saga = self._tokens
            self._tokens = None
            SCOPE.reset(scope)
            SAGA.reset(saga)

    async def _end(self) -> None:
        """Record that the block reached its end; a cancel that came before that undoes it."""
        assert self._scope is not None
        incarnation = self._scope.incarnation
        try:
            incarnation.check_cancelled(self._key)
            if incarnation.recorded(self._key, Kind.SAGA) is not None:
                return
            self._check_not_undone()
            await heed_cancel(self._scope, self._key)
        except FlowCancelled as cancel:
            await self._unwind(cancel)
            raise
        number = incarnation.number
        incarnation.keep(Effect(self._key, Kind.SAGA, "null", incarnation=number))

    def _check_not_undone(self) -> None:
        """Park a flow that reached the end of a block of which a former run undid a part."""
        assert self._scope is not None
        incarnation = self._scope.incarnation
        undone = [one.key for one in self._undos if incarnation.has_begun(one.key)]
        if undone:
            found = (
                f"{', '.join(map(repr, undone))}, by which a former run undid it: let the code "
                f"take the same way again, or `await panel.effects.remove({self._key!r})` and "
                "restart, to begin the block anew"
            )
            raise incarnation.park(ReplayMismatch(self._key, "a saga that reached its end", found))

    def is_in(self, block: Saga) -> bool:
        """Whether this is a block or one inside of it."""
        return self is block or (self._outer is not None and self._outer.is_in(block))

    def is_of(self, incarnation: Incarnation) -> bool:
        """Whether this is a block of that run of a flow."""
        return self._scope is not None and self._scope.incarnation is incarnation

    def take_over(self, undos: list[Prepared]) -> None:
        """A block inside of this one succeeded; if this one fails, that is undone too."""
        self._undos += undos

    async def _unwind(self, error: BaseException) -> None:
        """Undo in reverse order, to the end: who cancels this task meanwhile has to wait."""
        assert self._scope is not None
        incarnation = self._scope.incarnation
        failures = await see_through(incarnation, f"{self._key}/", self._undo_all(incarnation))
        if failures:
            keys = tuple(key for key, _ in failures)
            raise incarnation.blame(keys, UndoFailed(keys)) from failures[0][1]
        # A restart of the flow begins the block anew: nothing of it is there any more.
        incarnation.blame(self._key, error)

    async def _undo_all(self, incarnation: Incarnation) -> list[tuple[str, BaseException]]:
        """Try all undos; give the keys of those that failed, with why."""
        failures: list[tuple[str, BaseException]] = []
        while self._undos:
            undo = self._undos.pop()
            if lost_a_race(incarnation, undo.key):
                continue
            try:
                await undo.perform()
            except (Exception, asyncio.CancelledError) as failure:
                if incarnation.is_sealed:
                    raise
                failures.append((undo.key, failure))
        return failures


def lost_a_race(incarnation: Incarnation, key: str) -> bool:
    """Whether a key lies in a branch that lost: a replay does not know of it."""
    for at, mark in enumerate(key):
        above = incarnation.effects.get(key[:at]) if mark == "/" else None
        if above is not None and above.kind == Kind.RACE:
            branch = key[at + 1 :].partition("/")[0]
            if branch != above.body:
                return True
    return False


SAGA: ContextVar[Saga | None] = ContextVar("unbroken.saga")
AROUND_THE_LOOP: ContextVar[Saga | None] = ContextVar("unbroken.around_the_loop", default=None)


def apart(body: Callable[..., Any]) -> Callable[..., Any]:
    """Keep the body of a loop apart from a saga around it, which would forget what items undo."""
    around = SAGA.get(None)
    if around is None:
        return body

    async def run(item: Awaitable[Any]) -> Any:
        tokens = SAGA.set(None), AROUND_THE_LOOP.set(around)
        try:
            return await item
        finally:
            SAGA.reset(tokens[0])
            AROUND_THE_LOOP.reset(tokens[1])

    def begin(*args: Any) -> Any:
        item: Any = body(*args)
        return run(item) if hasattr(item, "__await__") else item

    return begin


def saga(name: str | None = None, /) -> Saga:
    """Give a block whose effects are undone if it does not reach its end.

    `async with saga() as trip:` … `trip.undo(cancel_flight, flight)`. On an error or cancel the
    undos run in reverse order, each recorded; then the error goes on. One that fails is
    UndoFailed, after the others were tried. A block inside of another is undone with it, but not
    one in an item of `for_each`: what a loop has behind it is forgotten. So is what a branch
    registered that lost a race: open a saga in the branch, which is undone when it loses. A flow
    that failed so and is restarted begins the block anew; one with an at-most-once effect in the
    block that failed or was interrupted is not retried by itself.
    """
    return Saga(None if name is None else check_name(name, "name of a saga"))
