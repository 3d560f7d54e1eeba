"""`@flow`: what makes a function or a class a flow."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from functools import partial, update_wrapper
from typing import (
    Any,
    Generic,
    NoReturn,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    get_type_hints,
    overload,
)

import msgspec

from unbroken.flows.children import CancelPolicy, Children
from unbroken.flows.scheduled import Scheduled
from unbroken.model.errors import RegistrationError
from unbroken.model.ids import check_name
from unbroken.model.retry import Retry

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
C = TypeVar("C")


class Declared(msgspec.Struct, frozen=True):
    """What `@flow(…)` was told. `timeout` is in seconds."""

    name: str | None = None
    aliases: tuple[str, ...] = ()
    retry: Retry | None = None
    timeout: float | None = None
    version: int = 1


class Definition:
    """What `@flow` found out: the name, the signature, the types."""

    def __init__(
        self, function: Callable[..., Any], name: str, declared: Declared, *, is_method: bool
    ) -> None:
        self.function = function
        self.name = check_name(name if declared.name is None else declared.name, "name of a flow")
        self.aliases = tuple(check_name(alias, "alias of a flow") for alias in declared.aliases)
        self.retry = declared.retry
        self.timeout = declared.timeout
        self.version = declared.version
        self.is_method = is_method
        self.where = f"{function.__module__}.{function.__qualname__}"

    def signature(self) -> inspect.Signature:
        """Give the flow's own parameters, without `self`."""
        signature = inspect.signature(self.function)
        if not self.is_method:
            return signature
        parameters = list(signature.parameters.values())[1:]
        return signature.replace(parameters=parameters)

    def hints(self) -> dict[str, Any]:
        """Resolve the annotations. Raises RegistrationError if one cannot be resolved."""
        try:
            return get_type_hints(self.function)
        except NameError as error:
            raise RegistrationError(
                f"flow {self.name!r} ({self.where}): the annotation {error.name!r} cannot be "
                "resolved: define the type at module level"
            ) from error


class Flow(Generic[P, R]):
    """A flow function. Calling it runs it in place, as part of the flow that calls it.

    Inside a flow `run` and `schedule` start a child; outside, use the handle from `app.register`.
    """

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        update_wrapper(self, definition.function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[object, object, R]:
        """Run the flow's code in place, in the same scope."""
        running: Coroutine[object, object, R] = self.definition.function(*args, **kwargs)
        return running

    def run(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[object, object, R]:
        """Start a child, or attach to it, and wait for its result.

        Raises FlowFailed, the same class wherever the child ran.
        """
        return self._children().run(id, *args, **kwargs)

    def schedule(
        self, id: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[object, object, Scheduled[R]]:
        """Start a child, or attach to it, without waiting for it."""
        return self._children().schedule(id, *args, **kwargs)

    def options(self, *, on_cancel: CancelPolicy = "cancel") -> Children[P, R]:
        """Start children with options: `on_cancel` says what the parent's cancel does to a child.

        "cancel" cancels it too; "wait" lets the parent's wait for it go on to its end first;
        "leave" lets it go on alone. Raises ConfigurationError for anything else.
        """
        return self._children().options(on_cancel=on_cancel)

    async def continue_as_new(self, *args: P.args, **kwargs: P.kwargs) -> NoReturn:
        """End this run of the flow and begin it anew: other arguments, an empty journal.

        For flows that live for ever: what they recorded goes, messages not yet consumed come along,
        the id, parents, published state and correlations stay. Only from inside this very flow.
        Raises FlowCancelled instead if a cancel was asked for.
        """
        await self._children().continue_as_new(*args, **kwargs)

    def _children(self) -> Children[P, R]:
        return Children(self.definition.name)


class AsyncClassFlow(Protocol[P, R_co]):
    """A class flow: its `run` is the flow."""

    async def run(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the flow from its first line."""
        ...


class FlowDecorator(Protocol):
    """What `@flow(…)` gives."""

    @overload
    def __call__(self, definition: type[C], /) -> type[C]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, definition: Callable[P, Coroutine[Any, Any, R]], /) -> Flow[P, R]: ...


@overload
def flow(definition: type[C], /) -> type[C]: ...  # type: ignore[overload-overlap]
@overload
def flow(definition: Callable[P, Coroutine[Any, Any, R]], /) -> Flow[P, R]: ...
@overload
def flow(
    *,
    name: str = ...,
    aliases: Sequence[str] = ...,
    retry: Retry | None = ...,
    timeout: timedelta | None = ...,
    version: int = ...,
) -> FlowDecorator: ...
def flow(
    definition: Any = None,
    /,
    *,
    name: str | None = None,
    aliases: Sequence[str] = (),
    retry: Retry | None = None,
    timeout: timedelta | None = None,
    version: int = 1,
) -> Any:
    """Make an async function, or a class with an async `run`, a flow.

    `name` is stored with every instance and survives a renamed function; `aliases` are former
    names. `retry`: a flow that failed runs again, as declared; the effects whose error ended it are
    forgotten and run again, but for at-most-once ones, with which it fails at once. A child that
    failed is asked again, and stays failed until it is restarted itself. `timeout`: the flow is
    cancelled when it takes longer, counted from its first run, or from when it continued as new or
    was restarted. `version` is kept with each flow
    when it starts: `current_flow().version`. Raises RegistrationError for what cannot be a flow.
    """
    if isinstance(aliases, str):
        raise RegistrationError(f"aliases={aliases!r}: give a list of names")
    if retry is not None and not is_retry(retry):
        raise RegistrationError(f"@flow(retry={retry!r}): give a Retry(…)")
    if timeout is not None and (not is_timedelta(timeout) or timeout <= timedelta(0)):
        raise RegistrationError("@flow(timeout=…) takes a timedelta of more than nothing")
    if version < 1:
        raise RegistrationError(f"@flow(version={version}): versions count from 1")
    seconds = None if timeout is None else timeout.total_seconds()
    declared = Declared(name, tuple(aliases), retry, seconds, version)
    if definition is None:
        return partial(_define, declared=declared)
    return _define(definition, declared)


def is_retry(value: object) -> bool:
    """Say whether it is a Retry; a number of attempts is a common slip."""
    return isinstance(value, Retry)


def is_timedelta(value: object) -> bool:
    """Say whether it is a timedelta; a number of seconds is a common slip."""
    return isinstance(value, timedelta)


def _define(definition: Any, declared: Declared) -> Any:
    if isinstance(definition, type):
        run = getattr(definition, "run", None)
        if run is None:
            raise RegistrationError(
                f"{definition.__qualname__}: a flow class needs `async def run`"
            )
        _check_function(run, f"{definition.__qualname__}.run")
        found = Definition(run, definition.__name__, declared, is_method=True)
        setattr(definition, MARK, found)
        return cast("type[Any]", definition)
    if isinstance(definition, Flow):
        raise RegistrationError(f"{definition.definition.where} is decorated twice with @flow")
    _check_function(definition, getattr(definition, "__qualname__", repr(definition)))
    if definition.__name__ == "<lambda>" and declared.name is None:
        raise RegistrationError('a lambda has no name: write flow(name="…")(lambda …: …)')
    made: Flow[..., Any] = Flow(
        Definition(definition, definition.__name__, declared, is_method=False)
    )
    return made


MARK = "__unbroken_flow__"


def definition_of(candidate: object) -> Definition | None:
    """Find what `@flow` left on a flow, a flow class or an instance of one."""
    if isinstance(candidate, Flow):
        return cast("Flow[..., Any]", candidate).definition
    owner = candidate if isinstance(candidate, type) else type(candidate)
    found = vars(owner).get(MARK)
    return found if isinstance(found, Definition) else None


def _check_function(function: Any, where: str) -> None:
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise RegistrationError(
            f"{where} is a generator: a flow returns its result, it does not yield"
        )
    if not callable(function):
        raise RegistrationError(f"{where} is no function: decorate an async function or a class")
    is_async = inspect.iscoroutinefunction(function)
    if not is_async and getattr(function, "__name__", "") != "<lambda>":
        raise RegistrationError(
            f"{where} is a plain `def`: write `async def`; def flows come with unbroken.sync"
        )
