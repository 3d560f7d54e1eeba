"""The README's program does what the README says, with a kill -9 in the middle."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks_of
from tests.programs import EXAMPLES, launcher

README = ROOT / "README.md"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def the_program() -> str:
    (program,) = blocks_of(README)
    return program.source


def outputs_shown() -> list[list[str]]:
    """Give what the README shows after each `$ python shop.py`."""
    shown: list[list[str]] = []
    for line in README.read_text(encoding="utf-8").splitlines():
        text = line.removeprefix("    ").split("   #")[0].rstrip()
        if text.startswith("$ python shop.py"):
            shown.append([])
        elif shown and line.startswith("    "):
            shown[-1].append(UUID.sub("<id>", text))
    return shown


def test_readme_shows_the_example_as_it_is() -> None:
    assert the_program() == (EXAMPLES / "shop.py").read_text(encoding="utf-8")


@pytest.mark.crash
def test_readme_program_prints_what_the_readme_shows(tmp_path: Path) -> None:
    # The same program in a hurry: a reader has time for 20 seconds, the tests do not.
    program = tmp_path / "shop.py"
    assert the_program().count("seconds=20") == 1
    program.write_text(the_program().replace("seconds=20", "seconds=2"), encoding="utf-8")

    with launcher(tmp_path) as start:
        first = start(program)
        first.wait_for("reserving")
        start.wait_until_recorded("shop.db", "sleep")
        first.kill()
        outputs = [[*first.lines, "Killed"], start(program).finish(), start(program).finish()]
    printed = [
        [UUID.sub("<id>", line) for line in lines if "SQLite" not in line] for lines in outputs
    ]
    assert printed == outputs_shown()


def test_readme_names_verbs_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    verbs = re.findall(r"^    make ([\w-]+)", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert verbs == ["demo", "test"]
    assert all(f"\n{verb}:" in makefile for verb in verbs)
