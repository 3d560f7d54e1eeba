"""From a definition to what the engine runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias, TypeVar, cast

from unbroken.engine.flow_type import Arguments, FlowType
from unbroken.flows.definition import Definition, definition_of
from unbroken.model.errors import DuplicateFlow, RegistrationError
from unbroken.serialization.serializer import Serializer

C = TypeVar("C")

Factory: TypeAlias = Callable[[], C] | Callable[[], AbstractAsyncContextManager[C]]


class Registration:
    """One registered flow, and where it came from."""

    def __init__(self, type: FlowType, definition: Definition, origin: object) -> None:
        self.type = type
        self._definition = definition
        self._origin = origin

    def check_same(self, other: Registration) -> None:
        """Raise DuplicateFlow unless the other is the same flow, made in the same way."""
        if self._definition.function is not other._definition.function:
            raise DuplicateFlow(
                f"two flows are named {self.type.name!r}: {self._definition.where} and "
                f"{other._definition.where}. Give one of them @flow(name=…)"
            )
        if self._origin is not other._origin:
            raise DuplicateFlow(
                f"{self._definition.where} is registered already, with another factory or "
                "instance: register it once for each app"
            )

    def is_redefined_by(self, other: Registration) -> bool:
        """Whether the other is this flow's code, written anew: a notebook's cell, a hot reload."""
        same_place = self._definition.where == other._definition.where
        return same_place and self._definition.function is not other._definition.function


def registration_of(definition: Any, factory: Any, serializer: Serializer) -> Registration:
    """Look at what is to be registered. Raises RegistrationError if it is no flow."""
    found = definition_of(definition)
    if found is None:
        raise RegistrationError(
            f"{definition!r} is no flow: decorate the function or class with @flow"
        )
    is_class = isinstance(definition, type)
    if factory is not None and not (is_class and callable(factory)):
        raise RegistrationError("a factory goes with a class: register(OrderFlow, lambda: …)")
    if is_class:
        run = _run_of_factory(factory or definition)
    else:
        run = definition.run if found.is_method else found.function
    return Registration(_flow_type(found, run, serializer), found, factory or definition)


def _run_of_factory(factory: Callable[[], Any]) -> Callable[..., Awaitable[Any]]:
    async def run(*args: Any, **kwargs: Any) -> Any:
        made = factory()
        if isinstance(made, AbstractAsyncContextManager):
            async with cast(AbstractAsyncContextManager[Any], made) as instance:
                return await instance.run(*args, **kwargs)
        return await made.run(*args, **kwargs)

    return run


def _check_concrete(definition: Definition, hints: dict[str, Any]) -> None:
    for name, hint in hints.items():
        inside = () if isinstance(hint, type) else getattr(hint, "__parameters__", ())
        if isinstance(hint, TypeVar) or inside:
            raise RegistrationError(
                f"flow {definition.name!r} ({definition.where}) is generic: {name!r} is annotated "
                f"{hint!r}, which says nothing of what is stored. Name the classes"
            )


def _flow_type(
    definition: Definition, run: Callable[..., Awaitable[Any]], serializer: Serializer
) -> FlowType:
    signature = definition.signature()
    hints = definition.hints()
    _check_concrete(definition, hints)
    returns = hints.pop("return", Any)
    serializer.know(*hints.values(), returns)

    def encode(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        return serializer.encode_arguments(signature, args, kwargs, hints)

    def decode(text: str) -> Arguments:
        return serializer.decode_arguments(signature, text, hints)

    return FlowType(
        definition.name,
        run,
        encode,
        decode,
        returns,
        definition.aliases,
        definition.retry,
        definition.timeout,
        definition.version,
    )
