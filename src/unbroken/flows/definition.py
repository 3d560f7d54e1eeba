"""`@flow`: what makes a function or a class a flow."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Sequence
from functools import partial, update_wrapper
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast, get_type_hints, overload

from unbroken.flows.children import Child
from unbroken.flows.scheduled import Scheduled
from unbroken.model.errors import RegistrationError
from unbroken.model.ids import check_name

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
C = TypeVar("C")


class Definition:
    """What `@flow` found out: the name, the signature, the types."""

    def __init__(
        self, function: Callable[..., Any], name: str, aliases: Sequence[str], *, is_method: bool
    ) -> None:
        self.function = function
        self.name = check_name(name, "name of a flow")
        self.aliases = tuple(check_name(alias, "alias of a flow") for alias in aliases)
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
        return Child.of(self.definition.name, id, args, kwargs).run()

    def schedule(
        self, id: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[object, object, Scheduled[R]]:
        """Start a child, or attach to it, without waiting for it."""
        return Child.of(self.definition.name, id, args, kwargs).schedule()


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
def flow(*, name: str = ..., aliases: Sequence[str] = ...) -> FlowDecorator: ...
def flow(definition: Any = None, /, *, name: str | None = None, aliases: Sequence[str] = ()) -> Any:
    """Make an async function, or a class with an async `run`, a flow.

    `name` is stored with every instance and survives a renamed function; `aliases` are former
    names. Raises RegistrationError for what cannot be a flow.
    """
    if definition is None:
        return partial(_define, name=name, aliases=aliases)
    return _define(definition, name, aliases)


def _define(definition: Any, name: str | None, aliases: Sequence[str]) -> Any:
    if isinstance(aliases, str):
        raise RegistrationError(f"aliases={aliases!r}: give a list of names")
    if isinstance(definition, type):
        run = getattr(definition, "run", None)
        if run is None:
            raise RegistrationError(
                f"{definition.__qualname__}: a flow class needs `async def run`"
            )
        _check_function(run, f"{definition.__qualname__}.run")
        chosen = definition.__name__ if name is None else name
        setattr(definition, MARK, Definition(run, chosen, aliases, is_method=True))
        return cast("type[Any]", definition)
    if isinstance(definition, Flow):
        raise RegistrationError(f"{definition.definition.where} is decorated twice with @flow")
    _check_function(definition, getattr(definition, "__qualname__", repr(definition)))
    if definition.__name__ == "<lambda>" and name is None:
        raise RegistrationError('a lambda has no name: write flow(name="…")(lambda …: …)')
    made: Flow[..., Any] = Flow(
        Definition(
            definition, definition.__name__ if name is None else name, aliases, is_method=False
        )
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
