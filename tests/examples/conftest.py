"""A launcher of examples for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs import Launcher, launcher


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Launcher]:
    with launcher(tmp_path) as start:
        yield start
