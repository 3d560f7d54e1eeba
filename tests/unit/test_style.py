"""House rules that no linter knows: measure, words, where SQL lives, what the text speaks of."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "unbroken"

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
VAGUE_MODULES = {"base", "common", "helpers", "manager", "util", "utils"}

# Other engines' words for what is called flow, effect, replica and store here.
FOREIGN_WORDS = {"activity", "activities"} | {
    word + ending
    for word in ("backend", "job", "step", "worker", "workflow")
    for ending in ("", "s")
}

# The shapes of statements; prose that happens to say "select" or "delete" has none of them.
STATEMENT_SHAPES = (
    r"select\s.*\sfrom\s",
    r"insert\s+(or\s+\w+\s+)?into\s",
    r"update\s+\w+\s+set\s",
    r"delete\s+from\s",
    r"(create|alter|drop)\s+(unique\s+)?(table|index|view|trigger)\s",
    r"with\s+\w+\s+as\s+\(",
)
LOWER_CASE_STATEMENT = re.compile(r"\s*(" + "|".join(STATEMENT_SHAPES) + ")", re.DOTALL)
UPPER_CASE_STATEMENT = re.compile(r"\b(SELECT|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM)\s")
OTHER_UPPER_CASE = re.compile(r"\b(CREATE|ALTER|DROP)\s+(UNIQUE\s+)?(TABLE|INDEX|VIEW|TRIGGER)\s")

TEXT_SUFFIXES = {"", ".md", ".py", ".sh", ".sql", ".toml", ".txt", ".yaml", ".yml"}
TEXT_FOLDERS = (".ci", "benchmarks", "docs", "examples", "src", "tests")
# What means something only to whoever wrote it: tickets, their own machine, how the work was asked.
PRIVATE_MATTERS = {
    "a ticket's number": r"\b(issue|ticket|pull request)s?\s+(no\.?\s*|#\s*)?\d+\b",
    "a ticket tool": r"`issues? \w+",
    "a path of one machine": r"(?<![\w.:/])/(root|home|Users|work|opt|mnt)/\w",
    "a package index": r"(index|find)[-_](url|links)\b",
    "how the work was asked": r"\b(the|this|our) (brief|task) (says|asks|wants|wins)\b",
    "who sat at the keyboard": r"\b(this|my|our|next|previous|coding) session\b",
    "a closing note": r"\bclosing note\b",
}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def catalogues() -> list[Path]:
    return sorted(SOURCE.rglob("*.sql"))


def texts() -> list[Path]:
    found = [path for folder in TEXT_FOLDERS for path in (ROOT / folder).rglob("*")]
    found += ROOT.iterdir()
    here = Path(__file__).resolve()
    return sorted(
        path
        for path in found
        if path.is_file() and path.suffix in TEXT_SUFFIXES and "__pycache__" not in path.parts
        if path != here
    )


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def docstring_of(node: ast.AST) -> ast.Constant | None:
    body = getattr(node, "body", None)
    if not isinstance(body, list) or not body or not isinstance(body[0], ast.Expr):
        return None
    value = body[0].value
    return value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def lines_without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    docstring = docstring_of(node)
    said = (docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0
    return (node.end_lineno or 0) - node.lineno + 1 - said


def names_given(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Give each name that the module itself chooses; what others called theirs is not its fault."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr
            case ast.alias(asname=str() as name):
                yield node.lineno, name


def words_of(identifier: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)}


def texts_in_code(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Give each string of the module that is not a docstring; f-strings by their fixed parts."""
    docstrings = {id(docstring_of(node)) for node in ast.walk(tree)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str() as text) if id(node) not in docstrings:
                yield node.lineno, text
            case _:
                pass


def holds_statement(text: str) -> bool:
    return bool(
        LOWER_CASE_STATEMENT.match(text)
        or UPPER_CASE_STATEMENT.search(text)
        or OTHER_UPPER_CASE.search(text)
    )


def comments_of(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def private_matters(text: str) -> list[str]:
    return [
        f"line {text.count(chr(10), 0, match.start()) + 1}: {what}: {match.group()!r}"
        for what, pattern in PRIVATE_MATTERS.items()
        for match in re.finditer(pattern, text, re.IGNORECASE if what[0] != "a" else 0)
    ]


@pytest.mark.parametrize("path", modules() + catalogues(), ids=short)
def test_file_keeps_to_the_measure(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES


@pytest.mark.parametrize("path", modules(), ids=short)
def test_functions_keep_to_the_measure(path: Path) -> None:
    functions = (
        node
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    sizes = {node.name: lines_without_docstring(node) for node in functions}
    assert {name: size for name, size in sizes.items() if size > MAX_FUNCTION_LINES} == {}


@pytest.mark.parametrize("path", modules(), ids=short)
def test_module_says_what_it_answers_for(path: Path) -> None:
    assert ast.get_docstring(parsed(path))


@pytest.mark.parametrize("path", modules(), ids=short)
def test_module_has_a_telling_name(path: Path) -> None:
    assert path.stem not in VAGUE_MODULES
    assert words_of(path.stem) & FOREIGN_WORDS == set()


@pytest.mark.parametrize("path", modules(), ids=short)
def test_one_word_is_used_for_each_thing(path: Path) -> None:
    found = [
        f"line {line}: {name}"
        for line, name in names_given(parsed(path))
        if words_of(name) & FOREIGN_WORDS
    ]
    assert found == []


@pytest.mark.parametrize("path", catalogues(), ids=short)
def test_one_word_is_used_for_each_thing_in_sql(path: Path) -> None:
    statements = re.sub(r"--.*|pg_stat_activity", "", path.read_text(encoding="utf-8"))
    assert words_of(statements) & FOREIGN_WORDS == set()


@pytest.mark.parametrize("path", modules(), ids=short)
def test_sql_lives_in_sql_files_only(path: Path) -> None:
    found = [f"line {line}" for line, text in texts_in_code(parsed(path)) if holds_statement(text)]
    assert found == []


@pytest.mark.parametrize("path", modules(), ids=short)
def test_the_strict_type_checker_is_never_silenced(path: Path) -> None:
    comments = comments_of(path.read_text(encoding="utf-8"))
    assert [line for line, comment in comments if "pyright:" in comment] == []


@pytest.mark.parametrize("path", texts(), ids=short)
def test_text_speaks_of_the_product_alone(path: Path) -> None:
    assert private_matters(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM flows",
        "select id\n from flows where id = :id",
        "INSERT INTO flows VALUES (1)",
        "insert or ignore into flows values (1)",
        "update flows set owner = null",
        "DELETE FROM replicas WHERE id = ?",
        "CREATE UNIQUE INDEX due ON flows (due_at)",
        "WITH due AS (SELECT 1)",
    ],
)
def test_a_statement_is_known_by_its_shape(text: str) -> None:
    assert holds_statement(text)


@pytest.mark.parametrize(
    "text",
    ["Select a name from the list", "delete the flow", "updates", "BEGIN IMMEDIATE", "COMMIT"],
)
def test_prose_and_transaction_control_are_no_statements(text: str) -> None:
    assert not holds_statement(text)


@pytest.mark.parametrize(
    "name", ["run_job", "JobQueue", "steps", "_worker", "MAX_WORKERS", "SQLBackend"]
)
def test_a_foreign_word_is_found_inside_a_name(name: str) -> None:
    assert words_of(name) & FOREIGN_WORDS


@pytest.mark.parametrize("name", ["stepwise", "networker", "flow", "jobless"])
def test_a_longer_word_is_another_word(name: str) -> None:
    assert not words_of(name) & FOREIGN_WORDS
