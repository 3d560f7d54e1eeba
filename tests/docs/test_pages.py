"""Each block of Python on a page works: it compiles, imports, registers and, if it can, runs."""

import asyncio
import builtins
import inspect
import re
from pathlib import Path

import pytest

import unbroken
from tests.docs.pages import PAGES, ROOT, Block, blocks, blocks_of
from tests.programs import launcher
from unbroken import Flow, Unbroken

INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")
# What belongs to others: asyncio, the standard library, SQLite.
SHOWN_WITH_OUTPUT = {"how-it-works.md", "tutorial.md"}
READ_ONE_AFTER_THE_OTHER = (
    "getting-started.md",
    "tutorial.md",
    "if-it-dies-here.md",
    "failure-semantics.md",
    "how-it-works.md",
)
FOREIGN_SETTINGS = {"application_name", "days", "seconds", "synchronous"}
FOREIGN_NAMES = {"CancelledError", "ContextVar", "VirtualClock"}


@pytest.mark.parametrize("block", blocks(), ids=str)
def test_block_compiles_imports_and_registers_its_flows(block: Block) -> None:
    with block.imported() as module:
        app = Unbroken("sqlite://")
        flows = [one for one in vars(module).values() if isinstance(one, Flow)]
        declared = re.findall(r"^@flow\b.*\n(?:async )?def ", block.source, re.MULTILINE)
        assert len([app.register(one) for one in flows]) == len(declared)


# The others are run by tests of their own, with the output that the page shows.
PROGRAMS = [one for one in blocks() if one.is_program and one.page.name not in SHOWN_WITH_OUTPUT]


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_program_runs_to_its_end_and_again(block: Block, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    source = re.sub(r"timedelta\(seconds=\d+\)", "timedelta(seconds=1)", block.source)
    program.write_text(source, encoding="utf-8")
    with launcher(tmp_path) as start:
        result = start(program).finish()[-1]
        again = start(program).finish()
    assert [line for line in again if "SQLite" not in line] == [result]


@pytest.mark.parametrize("block", [one for one in blocks() if "def test_" in one.source], ids=str)
def test_tests_on_a_page_pass(block: Block) -> None:
    with block.imported() as module:
        tests = [one for name, one in vars(module).items() if name.startswith("test_")]
        assert len(tests) == block.source.count("def test_")
        for test in tests:
            asyncio.run(test())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("name", READ_ONE_AFTER_THE_OTHER)
def test_page_ends_with_links_to_the_next_ones(name: str) -> None:
    *_, last = (ROOT / "docs" / name).read_text(encoding="utf-8").split("\n## ")
    assert last.startswith("Next\n")
    assert LINK.findall(last)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_classes_named_on_a_page_exist(page: Path) -> None:
    named = {
        name
        for code in inline_code(page)
        for name in re.findall(r"(?<![\w\"'.])[A-Z][a-z]+(?:[A-Z][a-z]+)+", code)
    }
    own = " ".join(block.source for block in blocks_of(page))
    unknown = {
        name
        for name in named - FOREIGN_NAMES
        if not hasattr(unbroken, name)
        and not hasattr(builtins, name)
        and f"class {name}" not in own
    }
    assert unknown == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_named_on_a_page_exist(page: Path) -> None:
    named = {name for code in inline_code(page) for name in re.findall(r"\b([a-z_]+)=(?!=)", code)}
    assert named - parameters() - FOREIGN_SETTINGS == set()


def inline_code(page: Path) -> list[str]:
    return INLINE.findall(FENCED.sub("", page.read_text(encoding="utf-8")))


def parameters() -> set[str]:
    """Give the parameter names of everything public."""
    public = [getattr(unbroken, name) for name in unbroken.__all__]
    methods = [
        method
        for one in public
        if inspect.isclass(one)
        for method in vars(one).values()
        if inspect.isfunction(method)
    ]
    functions = [one for one in public if inspect.isfunction(one)]
    fields = {name for one in public for name in getattr(one, "__struct_fields__", ())}
    callables = (*functions, *methods)
    return fields | {name for one in callables for name in inspect.signature(one).parameters}
