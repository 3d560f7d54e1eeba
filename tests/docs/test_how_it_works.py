"""The page on how it works quotes the SQL that runs, names what exists, and shows true rows."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.docs.transcripts import Transcript, transcripts_of
from tests.programs import launcher
from unbroken.stores.sql import NAME
from unbroken.stores.sqlite.schema import MIGRATIONS

PAGE = ROOT / "docs" / "how-it-works.md"
CATALOGUE = ROOT / "src" / "unbroken" / "stores" / "sqlite" / "sql"
QUOTED = re.compile(r"^```sql\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TABLE = re.compile(r"CREATE TABLE (\w+) \((.*)\)", re.DOTALL)
ADDED = re.compile(r"ALTER TABLE (\w+) ADD COLUMN (\w+)")
SHOWN = re.compile(r"^### `(\w+)`: .*?\n\n(.*?)\n\n", re.DOTALL | re.MULTILINE)


def statements_in(text: str) -> dict[str, str]:
    _, *parts = NAME.split(text)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def catalogue() -> dict[str, str]:
    found: dict[str, str] = {}
    for file in CATALOGUE.glob("*.sql"):
        found |= statements_in(file.read_text(encoding="utf-8"))
    return found


def quoted() -> dict[str, str]:
    blocks = QUOTED.findall(PAGE.read_text(encoding="utf-8"))
    return statements_in("".join(blocks))


def tables() -> dict[str, set[str]]:
    """Give the columns of each table, as the migrations make them."""
    found: dict[str, set[str]] = {}
    for migration in MIGRATIONS:
        for statement in migration.statements:
            if made := TABLE.match(statement):
                found[made.group(1)] = set(
                    re.findall(r"^    ([a-z_]+) ", made.group(2), re.MULTILINE)
                )
            elif added := ADDED.match(statement):
                found[added.group(1)].add(added.group(2))
    return found


def test_the_page_quotes_the_catalogue_as_it_is() -> None:
    page, source = quoted(), catalogue()
    assert len(page) >= 15
    assert {name: source.get(name) for name in page} == page


def test_every_sql_on_the_page_is_a_quotation() -> None:
    blocks = QUOTED.findall(PAGE.read_text(encoding="utf-8"))
    assert all(block.startswith("-- name: ") for block in blocks)
    assert len(blocks) == len(quoted())


def test_every_table_and_column_has_its_place_on_the_page() -> None:
    shown = dict(SHOWN.findall(PAGE.read_text(encoding="utf-8")))
    assert set(shown) == set(tables())
    missing = {
        table: columns - set(re.findall(r"`(\w+)`", shown[table]))
        for table, columns in tables().items()
    }
    assert {table: columns for table, columns in missing.items() if columns} == {}


@pytest.mark.crash
@pytest.mark.parametrize("transcript", transcripts_of(PAGE), ids=str)
def test_program_prints_what_the_page_shows(transcript: Transcript, tmp_path: Path) -> None:
    with launcher(tmp_path) as start:
        assert transcript.play(start) == transcript.runs
