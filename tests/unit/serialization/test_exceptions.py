"""An error keeps class and text live, on replay and elsewhere, or is `EffectFailed` everywhere."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unbroken.model.errors import DeserializationError, EffectFailed
from unbroken.serialization.serializer import Serializer

from . import raised_errors
from .raised_errors import LOST, SAME, OutOfStock, shown

ALL = {**SAME, **LOST}

READ_IN_CHILD = """
import json, sys
{imports}
from unbroken.serialization.serializer import Serializer
recorded = json.load(open(sys.argv[1]))
def shown(error):
    members = error.exceptions if isinstance(error, ExceptionGroup) else ()
    inner = [text for member in members for text in shown(member)]
    return [f"{{type(error).__module__}}:{{type(error).__qualname__}}", str(error), *inner]
print(json.dumps({{k: shown(Serializer().rebuild_exception(v)) for k, v in recorded.items()}}))
"""


def read_in_child(recorded: dict[str, str], imports: str, path: Path) -> dict[str, list[str]]:
    path.write_text(json.dumps(recorded))
    child = subprocess.run(
        [sys.executable, "-c", READ_IN_CHILD.format(imports=imports), str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(child.stdout)


@pytest.mark.parametrize("name", SAME)
def test_error_is_rebuilt_with_its_class_and_text(name: str) -> None:
    error = SAME[name]()
    serializer = Serializer()
    rebuilt = serializer.rebuild_exception(serializer.encode_exception(error))
    assert rebuilt is not error
    assert shown(rebuilt) == shown(error)
    assert rebuilt.__traceback__ is None
    assert rebuilt.__cause__ is None


@pytest.mark.parametrize("name", LOST)
def test_error_that_would_change_is_effect_failed_from_the_first_time(name: str) -> None:
    error = LOST[name]()
    serializer = Serializer()
    rebuilt = serializer.rebuild_exception(serializer.encode_exception(error))
    assert type(rebuilt) is EffectFailed
    assert rebuilt.type == serializer.type_name(type(error))
    assert rebuilt.message


def test_another_process_that_loaded_the_classes_sees_what_this_one_sees(tmp_path: Path) -> None:
    serializer = Serializer()
    recorded = {name: serializer.encode_exception(make()) for name, make in ALL.items()}
    here = {name: shown(serializer.rebuild_exception(text)) for name, text in recorded.items()}
    imports = f"import {raised_errors.__name__}"
    assert read_in_child(recorded, imports, tmp_path / "recorded.json") == here


def test_process_that_did_not_load_the_class_sees_effect_failed(tmp_path: Path) -> None:
    recorded = {"own": Serializer().encode_exception(OutOfStock("abc", wanted=2))}
    seen = read_in_child(recorded, "", tmp_path / "recorded.json")
    name = f"{raised_errors.__name__}:OutOfStock"
    assert seen == {"own": ["unbroken.model.errors:EffectFailed", f"{name}: abc is out of stock"]}


def rebuilt_from(error: Exception) -> Exception:
    serializer = Serializer()
    return serializer.rebuild_exception(serializer.encode_exception(error))


def test_arguments_and_attributes_come_back() -> None:
    error = rebuilt_from(OutOfStock("abc", wanted=2))
    assert isinstance(error, OutOfStock)
    assert (error.args, error.sku, error.wanted) == (("abc is out of stock",), "abc", 2)


def test_attributes_of_builtins_come_back() -> None:
    missing = rebuilt_from(SAME["file not found"]())
    assert isinstance(missing, FileNotFoundError)
    assert (missing.errno, missing.filename) == (2, "/no/such/file")
    imported = rebuilt_from(SAME["import"]())
    assert isinstance(imported, ImportError)
    assert (imported.name, imported.path) == ("x", "/y")
    syntax = rebuilt_from(SAME["syntax"]())
    assert isinstance(syntax, SyntaxError)
    assert (syntax.filename, syntax.lineno) == ("file.py", 1)
    decode = rebuilt_from(SAME["unicode decode"]())
    assert isinstance(decode, UnicodeDecodeError)
    assert (decode.object, decode.start) == (b"\xff", 0)


def test_attribute_that_cannot_be_kept_is_gone_at_once() -> None:
    error = rebuilt_from(SAME["httpx status"]())
    assert "Server error '503" in str(error)
    assert not hasattr(error, "response")
    assert not hasattr(rebuilt_from(raised_errors.HoldsLock()), "lock")


def test_notes_come_back() -> None:
    assert rebuilt_from(SAME["notes"]()).__notes__ == ["first", "second"]


def test_group_can_be_caught_in_parts() -> None:
    caught: list[Exception] = []
    try:
        raise rebuilt_from(SAME["nested group"]())
    except* KeyError as keys:
        caught.extend(keys.exceptions)
    except* TypeError as types:
        caught.extend(types.exceptions)
    assert len(caught) == 2


def test_class_made_in_a_function_is_found_among_the_loaded() -> None:
    class Local(Exception):
        pass

    assert type(rebuilt_from(Local("x"))) is Local


def test_class_hidden_by_a_newer_one_of_its_name_is_not_rebuilt_as_that() -> None:
    def make() -> type[Exception]:
        class Again(Exception):
            pass

        return Again

    older, newer = make(), make()
    assert type(rebuilt_from(older("x"))) is EffectFailed
    assert type(rebuilt_from(newer("x"))) is newer


def test_own_init_and_new_do_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Serializer().encode_exception(OutOfStock("abc", wanted=2))
    monkeypatch.setattr(OutOfStock, "__init__", None)
    monkeypatch.setattr(OutOfStock, "__new__", None)
    assert type(Serializer().rebuild_exception(text)) is OutOfStock


@pytest.mark.parametrize(
    "signal",
    [
        asyncio.CancelledError(),
        KeyboardInterrupt(),
        SystemExit(1),
        GeneratorExit(),
        BaseExceptionGroup("g", [KeyboardInterrupt()]),
    ],
    ids=repr,
)
def test_signals_are_not_recorded(signal: BaseException) -> None:
    with pytest.raises(TypeError, match=type(signal).__name__):
        Serializer().encode_exception(signal)


def test_info_has_type_message_and_traceback_with_causes() -> None:
    serializer = Serializer()
    info = serializer.error_info(serializer.encode_exception(SAME["own with cause"]()))
    assert info.type == f"{raised_errors.__name__}:OutOfStock"
    assert info.message == "abc is out of stock"
    assert "inner cause" in info.traceback
    assert "raised_errors.py" in info.traceback


def test_info_of_nothing_is_empty() -> None:
    info = Serializer().error_info("{}")
    assert (info.type, info.message, info.traceback) == ("unknown", "", "")


def test_message_and_traceback_are_capped() -> None:
    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        else:
            error = LOST["huge"]()
            raise error

    serializer = Serializer()
    try:
        deep(500)
    except ValueError as error:
        text = serializer.encode_exception(error)
    info = serializer.error_info(text)
    assert len(text) < 100_000
    assert len(info.message) < 20_000
    assert len(info.traceback) < 20_000
    assert "left out" in info.message


def test_error_as_part_of_a_value_comes_back() -> None:
    error = OutOfStock("abc", wanted=2)
    payload, (first, _) = Serializer().round_trip([error, ValueError("x")])
    assert shown(first) == shown(error)
    again: Any = Serializer().decode(payload)
    assert shown(again[0]) == shown(error)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "1", '{"type":1}', '{"error":{"$":"x"},"type":1}', '{"type":"a","type":"b"}'],
)
def test_text_that_is_no_recorded_error_is_refused(text: str) -> None:
    with pytest.raises(DeserializationError):
        Serializer().rebuild_exception(text)
    with pytest.raises(DeserializationError):
        Serializer().error_info(text)


@pytest.mark.parametrize(
    "form",
    [
        '{"$":"ValueError"}',
        '{"$":"ValueError","args":1,"state":{}}',
        '{"$":"ValueError","args":[],"state":{"args":5}}',
        '{"$":"int","of":1}',
        '{"$":"nobody:X","args":[],"state":{}}',
        '{"$":"UnicodeDecodeError","args":[1],"state":{}}',
        '{"$":"ExceptionGroup","args":["m",[1]],"state":{}}',
        '{"$":"KeyboardInterrupt","args":[],"state":{}}',
        "5",
    ],
)
def test_form_that_no_longer_fits_the_class_is_effect_failed(form: str) -> None:
    text = f'{{"type":"a:B","message":"text","error":{form}}}'
    rebuilt = Serializer().rebuild_exception(text)
    assert type(rebuilt) is EffectFailed
    assert str(rebuilt) == "a:B: text"
