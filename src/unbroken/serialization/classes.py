"""What a data class is made of: its fields with annotations and defaults, and how to build one.

Building never runs `__init__`: fields are set, `__post_init__` runs, fields are set again, so that
what was stored wins over what `__post_init__` derives.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

import msgspec

Kind: TypeAlias = Literal["dataclass", "attrs", "struct", "named tuple", "pydantic"]
Default: TypeAlias = Callable[[], object]

_ATTRS: Final = "__attrs_attrs__"
_POST_INIT: Final[Mapping[Kind, str]] = {
    "dataclass": "__post_init__",
    "attrs": "__attrs_post_init__",
}


class Field(NamedTuple):
    """One field; no default means that stored data must have it."""

    name: str
    annotation: object
    default: Default | None
    derived: bool = False
    """Whether `__post_init__` sets it when stored data lacks it."""


class Shape(NamedTuple):
    """The fields of a data class."""

    kind: Kind
    fields: tuple[Field, ...]


def is_pydantic_model(cls: type[object]) -> bool:
    """Say whether the class is a pydantic model, without importing pydantic."""
    main = sys.modules.get("pydantic.main")
    model = cast("type | None", vars(main).get("BaseModel")) if main is not None else None
    return model is not None and issubclass(cls, model)


def kind_of(cls: type[object]) -> Kind | None:
    """Say which sort of field-holding class this is, if any."""
    if issubclass(cls, msgspec.Struct):
        return "struct"
    if dataclasses.is_dataclass(cls):
        return "dataclass"
    if hasattr(cls, _ATTRS):
        return "attrs"
    if tuple in cls.__mro__ and hasattr(cls, "_fields"):
        return "named tuple"
    if is_pydantic_model(cls):
        return "pydantic"
    return None


def is_data_class(cls: type[object]) -> bool:
    """Say whether stored data may ask for this class by name."""
    return issubclass(cls, (enum.Enum, BaseException)) or kind_of(cls) is not None


def shape_of(cls: type[object]) -> Shape | None:
    """List the fields of a data class; annotations that cannot be resolved count as `Any`."""
    kind = kind_of(cls)
    if kind is None:
        return None
    hints = hints_of(cls)
    derived = _derived(kind, cls)
    return Shape(
        kind,
        tuple(
            Field(name, hints.get(name, Any), default, name in derived)
            for name, default in _defaults(kind, cls)
        ),
    )


def hints_of(cls: type[object]) -> dict[str, object]:
    """Give the annotations of a class; none if some cannot be resolved."""
    if is_pydantic_model(cls):  # it alone knows what a type variable stands for in `Page[int]`
        return {name: field.annotation for name, field in _pydantic_fields(cls).items()}
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception:  # noqa: BLE001 - resolving annotations runs whatever the user wrote there
        return {}


def _defaults(kind: Kind, cls: type[object]) -> list[tuple[str, Default | None]]:
    match kind:
        case "dataclass":
            return [(f.name, _dataclass_default(f)) for f in dataclasses.fields(cast("Any", cls))]
        case "attrs":
            return [(a.name, _attrs_default(a.default)) for a in getattr(cls, _ATTRS)]
        case "struct":
            return _struct_defaults(cast("type[msgspec.Struct]", cls))
        case "named tuple":
            defaults = cast("dict[str, object]", getattr(cls, "_field_defaults", {}))
            names = cast("tuple[str, ...]", getattr(cls, "_fields", ()))
            return [
                (name, _constant(defaults[name]) if name in defaults else None) for name in names
            ]
        case "pydantic":
            return [(name, _pydantic_default(f)) for name, f in _pydantic_fields(cls).items()]


def _derived(kind: Kind, cls: type[object]) -> frozenset[str]:
    if kind == "dataclass":
        return frozenset(
            field.name for field in dataclasses.fields(cast("Any", cls)) if not field.init
        )
    if kind == "attrs":
        return frozenset(attribute.name for attribute in getattr(cls, _ATTRS) if not attribute.init)
    return frozenset()


def _constant(value: object) -> Default:
    return lambda: value


def _dataclass_default(field: dataclasses.Field[Any]) -> Default | None:
    if field.default is not dataclasses.MISSING:
        return _constant(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory
    return None


def _attrs_default(default: object) -> Default | None:
    factory = getattr(default, "factory", None)
    if callable(factory):
        return None if getattr(default, "takes_self", False) else factory
    return None if type(default).__name__ == "_Nothing" else _constant(default)


def _struct_defaults(cls: type[msgspec.Struct]) -> list[tuple[str, Default | None]]:
    try:
        return [(field.name, _struct_default(field)) for field in msgspec.structs.fields(cls)]
    except Exception:  # noqa: BLE001 - it resolves annotations, as above
        return [(name, None) for name in cls.__struct_fields__]


def _struct_default(field: msgspec.structs.FieldInfo) -> Default | None:
    if field.default is not msgspec.NODEFAULT:
        return _constant(field.default)
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory
    return None


def _pydantic_fields(cls: type[object]) -> dict[str, Any]:
    return cast("dict[str, Any]", getattr(cls, "__pydantic_fields__", {}))


def _pydantic_default(field: object) -> Default | None:
    info = cast("Any", field)
    if info.is_required():
        return None
    return lambda: info.get_default(call_default_factory=True, validated_data={})


def build(cls: type[object], kind: Kind, values: Mapping[str, object]) -> object:
    """Make an instance that holds exactly these values; pydantic models are not made here."""
    if kind == "named tuple":
        return cast("Any", cls)._make(values.values())
    if kind == "struct":
        struct = cast("type[msgspec.Struct]", cls)(**values)
        for name, value in values.items():
            msgspec.structs.force_setattr(struct, name, value)
        return struct
    instance = cast("Any", cls).__new__(cls)
    _set(instance, values)
    post_init = getattr(instance, _POST_INIT.get(kind, ""), None)
    if callable(post_init) and not has_init_vars(cls):
        post_init()
        _set(instance, values)
    return instance


def hides_fields(cls: type[object]) -> bool:
    """Say whether JSON of the class leaves out fields, so that a later default would fill them."""
    match kind_of(cls):
        case "attrs":  # msgspec skips private ones
            return any(attribute.name.startswith("_") for attribute in getattr(cls, _ATTRS))
        case "struct":
            return cast("type[msgspec.Struct]", cls).__struct_config__.omit_defaults
        case _:
            return False


def has_init_vars(cls: type[object]) -> bool:
    """Say whether `__post_init__` takes arguments that no instance keeps."""
    fields = cast("dict[str, object]", getattr(cls, "__dataclass_fields__", {}))
    # `dataclasses.fields` hides them; their sort is kept under a private name alone.
    return any("INITVAR" in str(getattr(field, "_field_type", "")) for field in fields.values())


def _set(instance: object, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        # Not setattr: frozen classes refuse it, and validators have run when the value was made.
        object.__setattr__(instance, name, value)
