"""A stored name is looked up; it never imports, computes or calls anything."""

from __future__ import annotations

import sys
import types
from typing import Any, Literal, NewType, TypeVar

import pytest

from unbroken.model.errors import DeserializationError
from unbroken.serialization import native
from unbroken.serialization.known import Known, type_name
from unbroken.serialization.serializer import Payload, Serializer

from . import shop


def test_names_are_module_and_qualname_and_builtins_are_bare() -> None:
    serializer = Serializer()
    assert serializer.type_name(shop.Dog) == f"{shop.__name__}:Dog"
    assert serializer.type_name(int) == "int"
    assert serializer.type_name(ValueError) == "ValueError"


def test_data_classes_of_loaded_modules_are_found() -> None:
    for cls in (
        shop.Dog,
        shop.Cell,
        shop.Point,
        shop.Pair,
        shop.Colour,
        shop.Customer,
        ValueError,
        DeserializationError,
    ):
        assert Known().find(type_name(cls)) is cls


@pytest.mark.parametrize(
    "name",
    [
        f"{shop.__name__}:NotData",
        f"{shop.__name__}:Any",
        f"{shop.__name__}:Decimal",
        f"{shop.__name__}:Dog.__init__",
        f"{shop.__name__}:dataclasses.Field",
        f"{shop.__name__}:",
        f"{shop.__name__}",
        f"{__name__}:shop.Dog",
        "os:system",
        "subprocess:Popen",
        "eval",
        "object",
        "type",
        "builtins:ValueError",
        "__main__:x",
        ":",
        "",
    ],
)
def test_anything_else_is_not_found(name: str) -> None:
    assert Known().find(name) is None
    assert Known().find_anywhere(name) is None
    with pytest.raises(DeserializationError):
        Serializer().decode(Payload(name, "{}"))


def test_lookup_never_imports() -> None:
    module = "wave"
    sys.modules.pop(module, None)
    with pytest.raises(DeserializationError):
        Serializer().decode(Payload(f"{module}:Error", "{}"))
    assert module not in sys.modules


def test_lookup_never_computes_a_module_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[str] = []
    lazy = types.ModuleType("lazy_shop")
    vars(lazy)["__getattr__"] = touched.append
    monkeypatch.setitem(sys.modules, "lazy_shop", lazy)
    assert Known().find("lazy_shop:Order") is None
    assert touched == []


def test_lookup_ignores_what_is_no_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "odd", shop.Dog("d"))
    assert Known().find("odd:name") is None


def test_newest_definition_of_a_name_wins_once_known() -> None:
    first, second = shop.local_class(), shop.local_class()
    known = Known()
    known.add(first)
    known.add(second)
    assert known.find(type_name(first)) is second
    assert not known.is_findable(first)
    assert known.is_findable(second)


def test_annotations_are_searched_in_depth() -> None:
    classes: list[Any] = [shop.local_class() for _ in range(6)]
    for index, cls in enumerate(classes):
        cls.__qualname__ = f"Local{index}"
    bounded, optional, new, boxed, paged, _ = classes
    new_type: Any = NewType
    type_var: Any = TypeVar
    generic: Any = shop.Box
    model: Any = shop.Page
    known = Known()
    known.add(types.GenericAlias(dict, (str, optional | None)))
    known.add(new_type("New", new))
    known.add(generic[boxed])
    known.add(model[paged])
    known.add(types.GenericAlias(tuple, (type_var("Bound", bound=bounded), ...)))
    known.add(Literal["a"])
    known.add(None)
    known.add("a forward reference")
    found = [known.find(type_name(cls)) for cls in classes]
    assert found == [*classes[:5], None]


def test_typed_dict_is_searched() -> None:
    known = Known()
    known.add(list[shop.Basket])
    assert f"{shop.__name__}:Animal" in known._classes


def test_plans_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_PLANS_LIMIT", 3)
    serializer = Serializer()
    for index in range(10):
        serializer.round_trip(1, Literal[1, index])
    assert len(serializer._native._plans) <= 3


def test_recursive_class_is_searched_once() -> None:
    known = Known()
    known.add(shop.Tree)
    assert known.find(f"{shop.__name__}:Tree") is shop.Tree
