"""The public surface: what users may import, held by a list that only a decision changes."""

import ast
import inspect
from pathlib import Path

import pytest

import unbroken

PUBLIC = [
    "AppNotRunning",
    "BatchRefused",
    "Codec",
    "ConfigurationError",
    "ControlPanel",
    "Delivery",
    "DeserializationError",
    "DuplicateFlow",
    "EffectFailed",
    "EffectInfo",
    "EffectInterrupted",
    "EffectNotFound",
    "Envelope",
    "ErrorInfo",
    "Event",
    "Flow",
    "FlowCancelled",
    "FlowEnded",
    "FlowFailed",
    "FlowInfo",
    "FlowLogger",
    "FlowMoved",
    "FlowNotFound",
    "FlowParked",
    "FlowTimedOut",
    "Flows",
    "ForgottenAwait",
    "GeneratorRefused",
    "InitialMessage",
    "InitialState",
    "InvalidId",
    "LockQueue",
    "MessageWriter",
    "Messages",
    "NameRequired",
    "NameTaken",
    "NotInFlow",
    "NotRegistered",
    "NotSerializable",
    "ParamIgnored",
    "PayloadTooLarge",
    "PostgreSQL",
    "Question",
    "QuestionRefused",
    "QueuedFlow",
    "RegistrationError",
    "ReplayFilter",
    "ReplayMismatch",
    "Retry",
    "Saga",
    "Scheduled",
    "SchemaTooNew",
    "SerializationError",
    "Start",
    "Status",
    "StoreCorrupt",
    "StoreError",
    "StoreUnavailable",
    "StreamEnded",
    "TooDeep",
    "Unbroken",
    "UnbrokenError",
    "UndoFailed",
    "UsageError",
    "ValueChanged",
    "WeakDurability",
    "capture",
    "correlate",
    "current_flow",
    "effect",
    "flow",
    "for_each",
    "gather",
    "lock",
    "message",
    "messages",
    "now",
    "patched",
    "postpone",
    "question",
    "race",
    "saga",
    "semaphore",
    "sleep",
    "sleep_until",
    "suspend",
    "uncorrelate",
]


def reexported_names() -> list[str]:
    tree = ast.parse(Path(inspect.getfile(unbroken)).read_text(encoding="utf-8"))
    return [
        alias.asname or alias.name
        for statement in tree.body
        if isinstance(statement, ast.Import | ast.ImportFrom)
        for alias in statement.names
    ]


def public_methods() -> list[str]:
    return [
        f"{name}.{method}"
        for name in unbroken.__all__
        if inspect.isclass(owner := getattr(unbroken, name))
        for method in vars(owner)
        if not method.startswith("_") and inspect.isroutine(getattr(owner, method))
    ]


def test_public_names_are_the_listed_ones() -> None:
    assert sorted(unbroken.__all__) == PUBLIC


def test_the_list_is_sorted_and_names_each_thing_once() -> None:
    assert sorted(set(PUBLIC)) == PUBLIC


def test_the_package_reexports_exactly_its_public_names() -> None:
    assert sorted(reexported_names()) == sorted(unbroken.__all__)


def test_the_package_holds_reexports_and_nothing_else() -> None:
    tree = ast.parse(Path(inspect.getfile(unbroken)).read_text(encoding="utf-8"))
    docstring, *rest = tree.body
    assert isinstance(docstring, ast.Expr)
    *imports, names = rest
    assert all(isinstance(statement, ast.ImportFrom) for statement in imports)
    assert isinstance(names, ast.Assign | ast.AnnAssign)


@pytest.mark.parametrize("name", unbroken.__all__)
def test_public_name_is_importable_and_has_a_docstring(name: str) -> None:
    thing = getattr(unbroken, name)
    assert thing.__doc__, f"say in one sentence what {name} is"
    assert thing.__doc__.strip()


@pytest.mark.parametrize("path", public_methods())
def test_public_method_has_a_docstring(path: str) -> None:
    name, method = path.split(".")
    assert inspect.getdoc(getattr(getattr(unbroken, name), method)), f"say what {path} does"
