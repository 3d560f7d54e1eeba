"""Both type checkers, strict, over the programs beside this module: what they must infer exactly
(`assert_type`), and the mistakes they must refuse (`# refused: …`), on that line and on no other.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROGRAMS = sorted([HERE / "shop.py", *HERE.glob("accepted/*.py"), *HERE.glob("refused/*.py")])
CHECKERS = ("pyright", "mypy")

MARK = re.compile(r"# refused(?: by (?P<checker>\w+))?: (?P<reason>.+)$")
# What a mark may say, and as what the checkers may report it; a misspelt name in a program of ours
# is none of these, so no mistake passes for another one.
ARGUMENT = {"reportArgumentType", "reportCallIssue", "arg-type", "call-arg", "call-overload"}
ATTRIBUTE = {"reportAttributeAccessIssue", "reportOptionalMemberAccess"}
RESULT = {"reportAssignmentType", "reportReturnType", "assignment", "return"}
REASONS = {
    "argument": ARGUMENT | {"dict-item", "list-item", "misc", "return-value"},
    "attribute": ATTRIBUTE | {"reportGeneralTypeIssues", "attr-defined", "union-attr"},
    "await": {"reportUnusedCoroutine", "unused-coroutine"},
    "result": RESULT | {"arg-type", "call-overload", "misc"},
    "type": {"reportAssertTypeFailure", "assert-type", "type-abstract"},
}
# What a mistake leaves behind on its line, in pyright.
FOLLOWS = ("reportUnknown", "reportUntyped")


@dataclass(frozen=True)
class Report:
    """One complaint of a checker."""

    program: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.program}:{self.line}: {self.text} [{self.rule}]"


def short(path: Path) -> str:
    return path.relative_to(HERE).as_posix()


def of_wrong_types(path: Path) -> Path:
    return path.with_stem(f"wrong_{path.stem}")


def asserted_lines(source: str) -> list[int]:
    return [call.lineno for call, _ in assertions(source)]


def assertions(source: str) -> Iterator[tuple[ast.Call, ast.expr]]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="assert_type"), args=[_, asserted]):
                yield node, asserted
            case _:
                pass


def with_wrong_types(source: str) -> str:
    """Let every `assert_type` expect a type of its own; no line moves."""
    lines = source.encode().splitlines(keepends=True)
    for call, asserted in assertions(source):
        assert call.end_lineno == call.lineno, "an assert_type stands on one line"
        line = lines[asserted.lineno - 1]
        before, after = line[: asserted.col_offset], line[asserted.end_col_offset :]
        lines[asserted.lineno - 1] = before + b"'Wrong'" + after
    return b"".join(lines).decode() + "\n\nclass Wrong: ...\n"


def marks(program: Path, checker: str) -> dict[int, str]:
    lines = program.read_text(encoding="utf-8").splitlines()
    return {
        number: found["reason"]
        for number, line in enumerate(lines, 1)
        if (found := MARK.search(line)) and found["checker"] in {None, checker}
    }


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the programs, with a second one of each whose asserted types are all wrong."""
    tree = tmp_path_factory.mktemp("checked")
    copy = tree / "tests" / "typing"
    shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("test_*.py", "__pycache__"))
    (tree / "tests" / "__init__.py").touch()
    for program in copy.glob("accepted/*.py"):
        wrong = with_wrong_types(program.read_text(encoding="utf-8"))
        of_wrong_types(program).write_text(wrong, encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def reports(tree: Path) -> dict[str, list[Report]]:
    return {"pyright": run_pyright(tree), "mypy": run_mypy(tree)}


def run_checker(module: str, *arguments: str, cwd: Path) -> str:
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in {0, 1}, f"{module} broke down: {done.stdout}{done.stderr}"
    return done.stdout


def run_pyright(tree: Path) -> list[Report]:
    settings = {
        "include": ["."],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "extraPaths": ["../.."],
        "enableTypeIgnoreComments": False,
    }
    (tree / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    output = run_checker("pyright", "--outputjson", "--pythonpath", sys.executable, cwd=tree)
    return [
        Report(
            Path(one["file"]).relative_to(tree).as_posix(),
            one["range"]["start"]["line"] + 1,
            one.get("rule", "syntax"),
            one["message"],
        )
        for one in json.loads(output)["generalDiagnostics"]
    ]


def run_mypy(tree: Path) -> list[Report]:
    settings = ["--config-file", str(ROOT / "pyproject.toml"), "--output", "json"]
    cache = ["--cache-dir", str(ROOT / ".mypy_cache" / "typing")]
    output = run_checker("mypy", *settings, *cache, "tests", cwd=tree.parents[1])
    found = [json.loads(line) for line in output.splitlines()]
    return [
        Report(
            Path(one["file"]).relative_to("tests/typing").as_posix(),
            one["line"],
            one["code"] or "syntax",
            one["message"],
        )
        for one in found
        if one["severity"] == "error"
    ]


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("program", PROGRAMS, ids=short)
def test_exactly_the_marked_lines_are_refused(program, checker, reports) -> None:
    marked = marks(program, checker)
    refused = [one for one in reports[checker] if one.program == short(program)]
    of_the_kind = {one for one in refused if one.rule in REASONS.get(marked.get(one.line, ""), ())}
    seen = {one.line for one in of_the_kind}
    rest = [one for one in refused if one not in of_the_kind]
    unexpected = [
        str(one) for one in rest if one.line not in seen or not one.rule.startswith(FOLLOWS)
    ]
    assert unexpected == []
    let_through = [f"{short(program)}:{line}" for line in sorted(marked.keys() - seen)]
    assert let_through == [], f"{checker} lets them through"


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize(
    "program", [one for one in PROGRAMS if one.parent.name == "accepted"], ids=short
)
def test_every_asserted_type_is_looked_at(program, checker, reports) -> None:
    wrong = short(of_wrong_types(program))
    looked_at = {
        one.line for one in reports[checker] if one.program == wrong and one.rule in REASONS["type"]
    }
    expected = set(asserted_lines(program.read_text(encoding="utf-8")))
    assert looked_at == expected


def test_marks_are_planted_in_refused_programs_alone_and_say_a_known_reason() -> None:
    for program in PROGRAMS:
        planted = [*marks(program, "pyright").values(), *marks(program, "mypy").values()]
        assert bool(planted) == (program.parent.name == "refused" and program.stem != "__init__")
        assert set(planted) <= REASONS.keys()
