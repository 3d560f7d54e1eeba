"""Values of pydantic's types, written and read by pydantic itself; nothing here imports it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

import msgspec

from .classes import is_pydantic_model
from .misfits import pydantic_text

_PACKAGES: Final = frozenset({"pydantic", "pydantic_core", "pydantic_extra_types"})


class ModelState(NamedTuple):
    """What a model holds beside its fields."""

    fields: Mapping[str, object]
    fields_set: frozenset[str]
    extra: Mapping[str, object] | None
    private: Mapping[str, object] | None


class PydanticModels:
    """Reads and writes pydantic's types; keeps one adapter for each type."""

    def __init__(self) -> None:
        self._adapters: dict[object, object] = {}

    def owns(self, cls: type[object]) -> bool:
        """Say whether the class is pydantic's: others it can read too may be read without it."""
        return is_pydantic_model(cls) or cls.__module__.partition(".")[0] in _PACKAGES

    def write(self, value: object) -> object:
        """Turn a value of pydantic's into plain JSON values."""
        cls = type(value)
        if is_pydantic_model(cls):
            model = cast("Any", value)
            if not model.__pydantic_fields_set__.issuperset(model.__dict__):
                raise NotImplementedError("JSON would not tell the fields that were never set")
            return model.model_dump(mode="json", by_alias=True, warnings=False)
        return cast("Any", self._adapter(cls)).dump_python(value, mode="json", warnings=False)

    def read(self, annotation: object, raw: object) -> object:
        """Validate plain JSON values; a refusal names places and never the data.

        Raises `ValueError`.
        """
        body = msgspec.json.encode(raw)
        pydantic = cast("Any", sys.modules["pydantic"])
        try:
            return cast("Any", self._adapter(annotation)).validate_json(body)
        except pydantic.ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            place = "".join(f"[{x}]" if isinstance(x, int) else f".{x}" for x in first["loc"])
            # The cause is dropped: it holds the data.
            raise ValueError(pydantic_text(place, first["type"])) from None

    def _adapter(self, annotation: object) -> object:
        adapter = self._adapters.get(annotation)
        if adapter is None:
            adapter = cast("Any", sys.modules["pydantic"]).TypeAdapter(annotation)
            self._adapters[annotation] = adapter
        return adapter


def take_model_apart(model: object) -> ModelState:
    """Take a model apart without running its serializers."""
    held = cast("Any", model)
    return ModelState(
        held.__dict__,
        frozenset(held.__pydantic_fields_set__),
        held.__pydantic_extra__,
        held.__pydantic_private__,
    )


def build_model(cls: type[object], state: ModelState) -> object:
    """Put a model together again without running its validators."""
    model = cast("Any", cls).__new__(cls)
    object.__setattr__(model, "__dict__", dict(state.fields))
    object.__setattr__(model, "__pydantic_fields_set__", set(state.fields_set))
    object.__setattr__(model, "__pydantic_extra__", _own(state.extra))
    object.__setattr__(model, "__pydantic_private__", _own(state.private))
    return model


def _own(values: Mapping[str, object] | None) -> dict[str, object] | None:
    return None if values is None else dict(values)
