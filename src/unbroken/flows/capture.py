"""`capture` and `effect`: results that are recorded once and remembered."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import timedelta
from functools import partial, wraps
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, overload

import msgspec

from unbroken.engine.bodies import Call
from unbroken.engine.captures import perform
from unbroken.engine.effect_spec import EffectSpec, need_name
from unbroken.engine.scope import Scope, UndoScope, current_scope
from unbroken.model.errors import ConfigurationError, NameRequired
from unbroken.model.ids import check_name
from unbroken.model.retry import Retry

P = ParamSpec("P")
R = TypeVar("R")

Name = str | Callable[..., str]
CallArguments = tuple[tuple[Any, ...], dict[str, Any]]
# By number, so that under strict checking a lambda's arguments are known to be of any type.
KeyFunction: TypeAlias = (
    Callable[Concatenate[Any, ...], str]
    | Callable[Concatenate[Any, Any, ...], str]
    | Callable[Concatenate[Any, Any, Any, ...], str]
)
MARK = "__unbroken_effect__"


class Declared(msgspec.Struct, frozen=True):
    """What `effect(…)` was told about a function."""

    work: Callable[..., Any]
    name: Name | None
    aliases: tuple[str, ...] | None
    at_most_once: bool
    retry: Retry | None
    timeout: float | None
    flush: bool
    thread: bool | None
    is_method: bool


class EffectDecorator(Protocol):
    """What `@effect(…)` gives."""

    @overload
    def __call__(
        self, work: Callable[P, Awaitable[R]], /
    ) -> Callable[P, Coroutine[object, object, R]]: ...
    @overload
    def __call__(self, work: Callable[P, R], /) -> Callable[P, Coroutine[object, object, R]]: ...


@overload
def capture(
    work: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
) -> Coroutine[object, object, R]: ...
@overload
def capture(
    work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
) -> Coroutine[object, object, R]: ...
@overload
def capture(
    name: str, work: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
) -> Coroutine[object, object, R]: ...
@overload
def capture(
    name: str, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
) -> Coroutine[object, object, R]: ...
def capture(first: Any, /, *args: Any, **kwargs: Any) -> Coroutine[object, object, Any]:
    """Run a function once and remember its result, through any crash.

    The key is taken now, from the name or the function's own; await the result to run it. At least
    once: a crash before the result is committed runs it again. What it raises is remembered too.
    Raises NameRequired for a lambda without a name, NotInFlow outside of a flow.
    """
    scope = current_scope("capture(…)")
    name, work, args = _called(first, args, "capture")
    return _taken(scope, name, work, args, kwargs)


def _called(
    first: Any, args: tuple[Any, ...], what: str
) -> tuple[str | None, Callable[..., Any], tuple[Any, ...]]:
    """Tell a name before the function from the function itself."""
    if isinstance(first, str):
        if not args or not callable(args[0]):
            raise TypeError(f"{what}({first!r}, …): the second argument must be a function")
        return first, args[0], args[1:]
    if not callable(first):
        raise TypeError(
            f"{what}(…) takes a function and its arguments, not a {type(first).__name__}: "
            f"write {what}(fetch, url), not {what}(fetch(url))"
        )
    return None, first, args


class Prepared:
    """An effect whose key is taken and that is performed later, or never."""

    __slots__ = ("_arguments", "_call", "_scope", "_spec", "key")

    def __init__(
        self, scope: Scope, key: str, spec: EffectSpec, call: Call, arguments: CallArguments
    ) -> None:
        self.key = key
        self._scope = scope
        self._spec = spec
        self._call = call
        self._arguments = arguments

    async def perform(self) -> Any:
        """Give the recorded result, or run it and record it; a cancel of the flow waits for it."""
        scope = UndoScope(self._scope.incarnation, self._scope.prefix, self._scope.task)
        return await perform(scope, self.key, self._spec, self._call, self._arguments)


def prepare(
    scope: Scope, first: Any, args: tuple[Any, ...], kwargs: dict[str, Any], mark: str
) -> Prepared:
    """Take the key of an effect, with a mark before its name, for later."""
    name, work, args = _called(first, args, "undo")
    spec, call, arguments = _resolved(scope, name, work, args, kwargs)
    key = scope.take(f"{mark}{need_name(spec)}", explicit=spec.explicit)
    marked = None if spec.aliases is None else tuple(mark + alias for alias in spec.aliases)
    spec = msgspec.structs.replace(spec, name=mark + spec.name, aliases=marked)
    return Prepared(scope, key, spec, call, arguments)


def _taken(
    scope: Scope,
    name: str | None,
    work: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Coroutine[object, object, Any]:
    """Take the key and give the coroutine that performs the effect."""
    spec, call, arguments = _resolved(scope, name, work, args, kwargs)
    key = scope.take(need_name(spec), explicit=spec.explicit)
    scope.incarnation.promise(key)
    return perform(scope, key, spec, call, arguments)


def _resolved(
    scope: Scope,
    name: str | None,
    work: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[EffectSpec, Call, CallArguments]:
    """Find out how to name, run and compare the effect."""
    declared: Declared | None = getattr(work, MARK, None)
    specs = scope.incarnation.services.specs
    if declared is None:
        spec = specs.of(work)
        if name is not None:
            spec = _renamed(spec, name)
        digested = args
    else:
        if inspect.ismethod(work):
            args = (work.__self__, *args)
        spec = _declared_spec(specs.of(declared.work), declared, name, args, kwargs)
        digested = args[1:] if declared.is_method else args
        work = declared.work
    call = partial(work, *args, **kwargs) if args or kwargs else work
    return spec, call, (digested, kwargs)


def _renamed(spec: EffectSpec, name: str) -> EffectSpec:
    return EffectSpec(
        check_name(name, "name of an effect"),
        explicit=True,
        in_thread=spec.in_thread,
        returns=spec.returns,
    )


def _declared_spec(
    spec: EffectSpec,
    declared: Declared,
    name: str | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> EffectSpec:
    chosen = name
    if chosen is None and declared.name is not None:
        chosen = declared.name if isinstance(declared.name, str) else declared.name(*args, **kwargs)
    if chosen is not None:
        check_name(chosen, "name of an effect")
    return EffectSpec(
        chosen or spec.name,
        explicit=chosen is not None,
        aliases=declared.aliases,
        at_most_once=declared.at_most_once,
        retry=declared.retry,
        timeout=declared.timeout,
        flush=declared.flush,
        in_thread=spec.in_thread if declared.thread is None else declared.thread and spec.in_thread,
        returns=spec.returns,
    )


@overload
def effect(
    work: Callable[P, Awaitable[R]],
    /,
    *,
    name: str | Callable[P, str] | None = None,
    aliases: Sequence[str] | None = None,
    at_most_once: Literal[False] = False,
    retry: Retry | None = None,
    timeout: timedelta | None = None,
    flush: bool = True,
    thread: bool | None = None,
) -> Callable[P, Coroutine[object, object, R]]: ...
@overload
def effect(
    work: Callable[P, Awaitable[R]],
    /,
    *,
    name: str | Callable[P, str] | None = None,
    aliases: Sequence[str] | None = None,
    at_most_once: Literal[True],
    timeout: timedelta | None = None,
    thread: bool | None = None,
) -> Callable[P, Coroutine[object, object, R]]: ...
@overload
def effect(
    work: Callable[P, R],
    /,
    *,
    name: str | Callable[P, str] | None = None,
    aliases: Sequence[str] | None = None,
    at_most_once: Literal[False] = False,
    retry: Retry | None = None,
    timeout: timedelta | None = None,
    flush: bool = True,
    thread: bool | None = None,
) -> Callable[P, Coroutine[object, object, R]]: ...
@overload
def effect(
    work: Callable[P, R],
    /,
    *,
    name: str | Callable[P, str] | None = None,
    aliases: Sequence[str] | None = None,
    at_most_once: Literal[True],
    timeout: timedelta | None = None,
    thread: bool | None = None,
) -> Callable[P, Coroutine[object, object, R]]: ...
@overload
def effect(
    *,
    name: str | KeyFunction | None = None,
    aliases: Sequence[str] | None = None,
    at_most_once: Literal[False] = False,
    retry: Retry | None = None,
    timeout: timedelta | None = None,
    flush: bool = True,
    thread: bool | None = None,
) -> EffectDecorator: ...
@overload
def effect(
    *,
    name: str | KeyFunction | None = None,
    aliases: Sequence[str] | None = None,
    at_most_once: Literal[True],
    timeout: timedelta | None = None,
    thread: bool | None = None,
) -> EffectDecorator: ...
def effect(
    work: Any = None,
    /,
    *,
    name: Any = None,
    aliases: Sequence[str] | None = None,
    at_most_once: bool = False,
    retry: Retry | None = None,
    timeout: timedelta | None = None,
    flush: bool = True,
    thread: bool | None = None,
) -> Any:
    """Declare how a function is captured: calling the result inside a flow captures it.

    `at_most_once`: the body begins at most once over all processes and crashes; begun and not ended
    is EffectInterrupted. `retry`: tried again as declared; the count survives crashes. `timeout`:
    TimeoutError when the body takes longer; EffectInterrupted if it is a plain function at most
    once, which cannot be stopped. `flush=False`: recorded with the next write, so a crash
    before that runs it again. `aliases`: names it had before; `[]` says that it is new.
    `thread=False`: a plain function runs in place and not in a thread. Raises ConfigurationError
    for a contradiction.
    """

    def declare(work: Any) -> Callable[..., Coroutine[object, object, Any]]:
        if not callable(work):
            raise TypeError(f"effect(…) takes a function, not a {type(work).__name__}")
        contradiction = at_most_once and (retry is not None or not flush)
        _check(name, aliases, timeout, contradiction=contradiction)
        declared = Declared(
            work,
            name,
            None if aliases is None else tuple(aliases),
            at_most_once,
            retry,
            None if timeout is None else timeout.total_seconds(),
            flush,
            thread,
            _is_method(work),
        )
        return _declare(declared)

    return declare if work is None else declare(work)


def _declare(declared: Declared) -> Callable[..., Coroutine[object, object, Any]]:
    def performed(*args: Any, **kwargs: Any) -> Coroutine[object, object, Any]:
        scope = current_scope(f"the effect {declared.work!r:.60}")
        return _taken(scope, None, performed, args, kwargs)

    if hasattr(declared.work, "__name__"):
        performed = wraps(declared.work)(performed)
    setattr(performed, MARK, declared)
    return performed


def _check(
    name: object, aliases: Sequence[str] | None, timeout: timedelta | None, *, contradiction: bool
) -> None:
    if contradiction:
        raise ConfigurationError(
            "at_most_once=True contradicts retry and flush=False: a body that may begin only once "
            "cannot be tried again, and its result must be committed"
        )
    if isinstance(name, str):
        check_name(name, "name of an effect")
    elif name is not None and not callable(name):
        raise NameRequired(f"name={name!r}: give a str, or a function of the effect's arguments")
    if isinstance(aliases, str):
        raise ConfigurationError(f"aliases={aliases!r}: give a list of names")
    for alias in aliases or ():
        check_name(alias, "alias of an effect")
    if timeout is not None and timeout <= timedelta(0):
        raise ConfigurationError("timeout must be more than nothing")


def _is_method(work: Callable[..., object]) -> bool:
    """Whether the first argument is the instance, which is never stored nor compared."""
    code = getattr(work, "__code__", None)
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount] if code is not None else ()
    return not inspect.ismethod(work) and bool(names) and names[0] in {"self", "cls"}
