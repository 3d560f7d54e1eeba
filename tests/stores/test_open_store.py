"""URLs: what opens which store, and what is said of the others."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.stores.clock import FakeClock
from unbroken.model.errors import ConfigurationError
from unbroken.stores import open_store


async def opened_files(url: str) -> None:
    store = open_store(url, clock=FakeClock())
    await store.open()
    await store.close()


async def test_no_path_is_a_private_database_in_memory() -> None:
    one, two = (open_store("sqlite://", clock=FakeClock()) for _ in range(2))
    await one.open()
    await two.open()
    await one.register("a")
    assert not await two.beat("a")
    assert "memory" in one.durability
    await one.close()
    await two.close()


async def test_three_slashes_are_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await opened_files("sqlite:///some.db")
    assert (tmp_path / "some.db").is_file()


async def test_four_slashes_are_an_absolute_path(tmp_path: Path) -> None:
    await opened_files(f"sqlite:///{tmp_path}/some.db")
    assert str(tmp_path).startswith("/")
    assert (tmp_path / "some.db").is_file()


async def test_a_path_may_be_percent_encoded(tmp_path: Path) -> None:
    await opened_files(f"sqlite:///{tmp_path}/50%25 of%20a%3Fb%23c.db")
    assert (tmp_path / "50% of a?b#c.db").is_file()


async def test_a_link_leads_to_the_same_database_lock_and_all(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "deep" / "real.db")
    await opened_files(f"sqlite:///{tmp_path}/link.db")
    assert (tmp_path / "deep" / "real.db-lock").is_file()
    assert not (tmp_path / "link.db-lock").exists()


def test_nothing_is_opened_before_open(tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path}/some.db", clock=FakeClock())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "some.db",
        "/some.db",
        "sqlite:",
        "sqlite:/some.db",
        "sqlite://some.db",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///some.db?mode=ro",
        "sqlite:///some.db#part",
        "sqlite:///a%00b",
        "SQLITE://",
        "mongodb://user:canary@host/db",
        "mysql://user:canary@host/db",
        "sqlite://user:canary@host/db",
        "user:canary@host",
        "mysql+driver://user:canary@host/db",
        "user:canary@x://host",
    ],
)
def test_any_other_url_is_refused_with_what_would_do(url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        open_store(url, clock=FakeClock())
    assert "sqlite://" in str(refusal.value) or "%3F" in str(refusal.value)
    assert "canary" not in str(refusal.value)


def test_a_database_is_imported_only_when_its_url_is_opened() -> None:
    script = "import sys, unbroken.stores; sys.exit('sqlite3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
