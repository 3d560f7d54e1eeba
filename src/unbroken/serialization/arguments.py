"""A flow's arguments: one JSON object by parameter name, so that parameters may come and go."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, Signature
from typing import Any, NamedTuple, TypeAlias

import msgspec

from unbroken.model.errors import DeserializationError

from .misfits import misfit
from .nullable import check_none
from .positions import Positions

Named: TypeAlias = Mapping[str, object]


class CallArguments(NamedTuple):
    """What to call the flow with."""

    args: tuple[object, ...]
    kwargs: dict[str, object]


class Arguments:
    """Writes and reads the arguments of a flow."""

    def __init__(self, positions: Positions) -> None:
        self._positions = positions
        self._encode = msgspec.json.Encoder().encode
        self._parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
        self._list = msgspec.json.Decoder(list[msgspec.Raw]).decode

    def write(
        self, signature: Signature, args: tuple[object, ...], kwargs: Named, hints: Named
    ) -> bytes:
        """Write the arguments of one call.

        Raises `TypeError` when they do not fit the signature.
        """
        write = self._positions.write
        parts: dict[str, object] = {}
        bound: dict[str, Any] = signature.bind(*args, **kwargs).arguments
        for name, value in bound.items():
            hint, path = hints.get(name, Any), f"$.{name}"
            if value is None and signature.parameters[name].default is not None:
                check_none(hint, path)
            many: Any = value
            match signature.parameters[name].kind:
                case Parameter.VAR_POSITIONAL:
                    parts[name] = [write(v, hint, f"{path}[{i}]") for i, v in enumerate(many)]
                case Parameter.VAR_KEYWORD:
                    parts[name] = {key: write(v, hint, f"{path}.{key}") for key, v in many.items()}
                case _:
                    parts[name] = write(value, hint, path)
        return self._encode(parts)

    def read(self, signature: Signature, text: str, hints: Named) -> CallArguments:
        """Read arguments for the signature of today: new parameters take their defaults.

        Raises `DeserializationError` with a path such as `$.order.total`.
        """
        try:
            parts = self._parts(text)
        except Exception as error:  # noqa: BLE001 - the text may be anything
            raise misfit(error, "an object of arguments", "$") from None
        args: list[object] = []
        kwargs: dict[str, object] = {}
        for name, parameter in signature.parameters.items():
            hint, body = hints.get(name, Any), parts.get(name)
            match parameter.kind:
                case Parameter.VAR_POSITIONAL:
                    args.extend(self._read_many(body, hint, name))
                case Parameter.VAR_KEYWORD:
                    kwargs.update(self._read_named(body, hint, name))
                case Parameter.KEYWORD_ONLY:
                    kwargs[name] = self._read_one(parameter, body, hint)
                case _:
                    args.append(self._read_one(parameter, body, hint))
        return CallArguments(tuple(args), kwargs)

    def _read_one(self, parameter: Parameter, body: msgspec.Raw | None, hint: object) -> object:
        if body is not None:
            return self._positions.read(body, hint, f"$.{parameter.name}")
        if parameter.default is not Parameter.empty:
            return parameter.default
        raise DeserializationError(
            f"the flow was started without the parameter `{parameter.name}`: give it a default",
            f"$.{parameter.name}",
            expected="a value",
            found="nothing",
        )

    def _read_many(self, body: msgspec.Raw | None, hint: object, name: str) -> list[object]:
        if body is None:
            return []
        try:
            members = self._list(body)
        except msgspec.DecodeError as error:
            raise misfit(error, list, f"$.{name}") from None
        read = self._positions.read
        return [read(member, hint, f"$.{name}[{i}]") for i, member in enumerate(members)]

    def _read_named(self, body: msgspec.Raw | None, hint: object, name: str) -> dict[str, object]:
        if body is None:
            return {}
        try:
            members = self._parts(body)
        except msgspec.DecodeError as error:
            raise misfit(error, dict, f"$.{name}") from None
        read = self._positions.read
        return {key: read(member, hint, f"$.{name}.{key}") for key, member in members.items()}
