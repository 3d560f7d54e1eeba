"""Where a key comes from: the names used so far in one stretch of a flow's code.

The key of an effect is the prefix of its scope and its name; a second use becomes `name#2`.
Sub-keys hang beneath it: `key.mark` are the engine's own, `key/name` belong to effects inside its
body. The flow's first line runs in the root scope; each body and each branch has a scope of its
own. In a task that the engine did not begin, encounter order means nothing, so only explicit names
count there.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, ClassVar

from unbroken.model.errors import NameRequired, NameTaken, NotInFlow

if TYPE_CHECKING:
    from unbroken.engine.incarnation import Incarnation


class Scope:
    """The names taken so far beneath one prefix, in one task."""

    __slots__ = ("body_of", "counts", "incarnation", "prefix", "shifted", "task")
    heeds_cancel: ClassVar[bool] = True

    def __init__(
        self,
        incarnation: Incarnation,
        prefix: str,
        task: asyncio.Task[object] | None,
        body_of: str | None = None,
    ) -> None:
        self.incarnation = incarnation
        self.prefix = prefix
        self.task = task
        self.body_of = body_of
        self.counts: dict[str, int] | None = None
        self.shifted: dict[str, tuple[str, str]] | None = None

    def take(self, name: str, *, explicit: bool) -> str:
        """Give the next use of a name its key.

        Raises NameRequired or NameTaken in a task that this scope does not belong to.
        """
        counts = self.counts
        if counts is None:
            counts = self.counts = {}
        use = counts.get(name, 0) + 1
        if asyncio.current_task() is not self.task:
            self._check_foreign(name, use, explicit=explicit)
        counts[name] = use
        return self.prefix + (name if use == 1 else f"{name}#{use}")

    def _check_foreign(self, name: str, use: int, *, explicit: bool) -> None:
        where = f"in a task that `gather` did not begin ({asyncio.current_task()!r:.80})"
        if not explicit:
            raise NameRequired(
                f"{name!r} was used without a name of its own {where}, where the order of calls "
                f'says nothing: write capture("a name", …), use gather(…) of unbroken, or take the '
                "effect before the task begins. asyncio.wait_for begins a task on Python 3.11: "
                "use asyncio.timeout there"
            )
        if use > 1:
            raise NameTaken(f"the name {name!r} is used a second time {where}: give each its own")


class UndoScope(Scope):
    """Where something is undone: a cancel of the flow waits until that is over."""

    __slots__ = ()
    heeds_cancel = False


SCOPE: ContextVar[Scope] = ContextVar("unbroken.scope")


def is_counted_task() -> bool:
    """Whether the running task is a flow's own or a branch's: one that the engine began.

    Where a key was taken does not matter: `gather(message(A), sleep(…))` takes keys in the parent.
    """
    return SCOPE.get().task is asyncio.current_task()


def current_scope(what: str) -> Scope:
    """Give the running flow's scope, or raise NotInFlow naming `what`."""
    scope = SCOPE.get(None)
    if scope is None:
        raise NotInFlow(
            f"{what} works only inside a running flow: start one with `orders.run(id, …)`"
        )
    return scope


def scope_for_wait(what: str) -> Scope:
    """Give the scope for something that waits, which a captured body must not do."""
    scope = current_scope(what)
    if scope.body_of is not None:
        raise NotInFlow(
            f"{what} was called inside the captured body {scope.body_of!r}: a body runs as one "
            "effect, so wait in the flow itself, before or after it"
        )
    return scope
