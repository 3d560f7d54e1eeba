"""What is known of an effect before it is called: how to name, run and keep it.

The name of a callable: a function's own name (a method's without its class, so that stubs and
renamed classes keep their keys), a partial's function, the class of a callable object. A lambda has
none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, TypeVar, cast, get_type_hints

import msgspec

from unbroken.model.errors import GeneratorRefused, NameRequired
from unbroken.model.ids import check_name
from unbroken.model.retry import Retry
from unbroken.serialization.serializer import Serializer

QUICK_MODULES = frozenset(("uuid", "random", "secrets", "datetime", "_random", "_datetime"))
LAMBDA = "<lambda>"


class EffectSpec(msgspec.Struct, frozen=True):
    """How to name, run and keep one effect. `timeout` is in seconds.

    `aliases` are its former names; None says that nobody knows, nothing that there are none.
    """

    name: str
    explicit: bool = False
    aliases: tuple[str, ...] | None = None
    at_most_once: bool = False
    retry: Retry | None = None
    timeout: float | None = None
    flush: bool = True
    in_thread: bool = False
    returns: object = Any


class EffectSpecs:
    """Looks at each callable once. One for each engine."""

    def __init__(self, serializer: Serializer) -> None:
        self._serializer = serializer
        self._known: dict[object, EffectSpec] = {}

    def of(self, work: Callable[..., object]) -> EffectSpec:
        """Describe a callable; its name is empty if it is a lambda.

        Raises GeneratorRefused for a generator function, before its body runs.
        """
        key = _identity(work)
        try:
            spec = self._known.get(key)
        except TypeError:  # an annotation that has no hash
            return self._look_at(work)
        if spec is None:
            spec = self._known[key] = self._look_at(work)
        return spec

    def _look_at(self, work: Callable[..., object]) -> EffectSpec:
        function = _function_of(work)
        name = _name_of(function)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise GeneratorRefused(
                f"{name!r} is a generator function, and a generator cannot be recorded: "
                "return a list, or use for_each"
            )
        returns = _returns_of(function)
        self._serializer.know(returns)
        if name != LAMBDA:
            check_name(name, "name of an effect")
        return EffectSpec(
            "" if name == LAMBDA else name, in_thread=_may_block(function), returns=returns
        )


def _identity(work: Callable[..., object]) -> object:
    """Give what stays the same over the many function objects of one definition.

    Code is not enough: all functions that one decorator made share it.
    """
    if isinstance(work, MethodType):
        work = work.__func__
    if isinstance(work, FunctionType):
        return work.__code__, work.__name__, work.__module__, _annotated_return(work)
    if isinstance(work, partial):
        return _identity(work.func)
    if isinstance(work, type):
        return work
    owner = work.__self__ if isinstance(work, BuiltinFunctionType) else work
    return type(owner), getattr(work, "__name__", None), getattr(work, "__module__", None)


def _annotated_return(function: FunctionType) -> object:
    try:
        return function.__annotations__.get("return")
    except NameError:  # Python 3.14 reads annotations only now
        return None


def _function_of(work: Any) -> Callable[..., object]:
    while isinstance(work, partial):
        work = work.func
    if isinstance(work, MethodType):
        return work.__func__
    return work


def _name_of(function: object) -> str:
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def _called(function: Any) -> Any:
    """Give what runs when a callable object is called."""
    if isinstance(function, (FunctionType, BuiltinFunctionType, type)):
        return function
    call = vars(cast("type[object]", type(function))).get("__call__")
    return call if callable(call) else function


def _returns_of(function: Any) -> object:
    if isinstance(function, type):
        return function
    try:
        returns = get_type_hints(_called(function)).get("return", Any)
    except (NameError, TypeError, AttributeError):
        return Any
    is_generic = isinstance(returns, TypeVar) or bool(getattr(returns, "__parameters__", ()))
    return Any if is_generic else returns


def _may_block(function: Any) -> bool:
    """Whether a body belongs into a thread: it is not a coroutine and not known to be quick."""
    if isinstance(function, type) or inspect.iscoroutinefunction(_called(function)):
        return False
    return getattr(function, "__module__", None) not in QUICK_MODULES


def need_name(spec: EffectSpec) -> str:
    """Give the effect's name, or raise NameRequired for a lambda."""
    if not spec.name:
        raise NameRequired(
            "a lambda has no name, and its position must not be its identity: "
            'write capture("a name", lambda: …)'
        )
    return spec.name
