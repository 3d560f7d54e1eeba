"""The page of deaths: each row of each table is shown by tests, and these exist."""

import re

import pytest

from tests.crash.cases import CASES
from tests.docs.named_tests import absent, named_in
from tests.docs.pages import ROOT

TEXT = (ROOT / "docs" / "if-it-dies-here.md").read_text(encoding="utf-8")
CASE = re.compile(r"crash case `(\w+)`")
ROW = re.compile(r"^\| (\d+) \| [^|]+ \| [^|]+ \| [^|]*\|$", re.MULTILINE)
SHOWN = re.compile(r"^Shown by: (.+?)(?:\n\n|\Z)", re.DOTALL | re.MULTILINE)
ROWS_OF = re.compile(r"(?:^|; ?\n?)(\d+)(?:-(\d+))? ")
PRIMITIVES = 25


def sections() -> dict[str, str]:
    _, *parts = re.split(r"^### ", TEXT, flags=re.MULTILINE)
    return {
        part.partition("\n")[0]: re.split(r"^## ", part, flags=re.MULTILINE)[0] for part in parts
    }


def shown_rows(section: str) -> set[int]:
    """Give the rows for which tests are named."""
    (line,) = SHOWN.findall(section)
    ranges = [(int(first), int(last or first)) for first, last in ROWS_OF.findall(line)]
    return {row for first, last in ranges for row in range(first, last + 1)}


def test_every_named_test_exists() -> None:
    assert absent(named_in(TEXT)) == []
    assert TEXT.count("::") == len(re.findall(r"`[\w/]+\.py::\w+`", TEXT))


def test_every_named_crash_case_exists() -> None:
    assert {case for case in CASE.findall(TEXT) if case not in CASES} == set()


@pytest.mark.parametrize("primitive", sections())
def test_every_row_is_numbered_and_shown(primitive: str) -> None:
    section = sections()[primitive]
    rows = [int(number) for number in ROW.findall(section)]
    assert rows == list(range(1, len(rows) + 1)) != []
    assert section.count("\n| ") == len(rows) + 1, "a row has not four cells"
    assert shown_rows(section) == set(rows)


def test_every_primitive_has_its_table() -> None:
    assert len(sections()) >= PRIMITIVES
