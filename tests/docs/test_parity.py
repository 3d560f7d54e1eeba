"""The table of parity is complete, and every test that it names exists."""

import re

import pytest

from tests.docs.named_tests import NAMED, TESTS, defined_in, named_in

PAGE = TESTS.parent / "docs" / "parity.md"
ROW = re.compile(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


def sections() -> dict[str, str]:
    _, *parts = PAGE.read_text(encoding="utf-8").split("\n## ")
    return {part.partition("\n")[0]: part for part in parts}


def named() -> list[tuple[str, str]]:
    return named_in(PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("module", sorted({module for module, _ in named()}))
def test_every_named_test_exists(module: str) -> None:
    names = {name for one, name in named() if one == module}
    assert names - defined_in(TESTS / module) == set()


@pytest.mark.parametrize(("model", "count"), [("Cleipnir", 141), ("Gaev.DurableTask", 27)])
def test_every_behaviour_has_its_row(model: str, count: int) -> None:
    numbers = [int(number) for number, _ in ROW.findall(sections()[model])]
    assert numbers == list(range(1, count + 1))


@pytest.mark.parametrize("model", ["Cleipnir", "Gaev.DurableTask"])
def test_every_row_names_a_test_or_a_reason(model: str) -> None:
    reason = re.compile(r"(Differs|Left out|Comes with)\b")
    bare = [
        number
        for number, shown in ROW.findall(sections()[model])
        if not NAMED.search(shown) and not reason.search(shown)
    ]
    assert bare == []


def test_there_is_no_link_to_a_test_in_another_form() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("::") == len(NAMED.findall(text))
