"""What users see, on every store, under virtual time."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.apps import Apps
from tests.services import url_of
from unbroken.testing import VirtualClock

STORES = ["sqlite-memory", "sqlite-file", "postgresql"]
SHARED = ["sqlite-file", "postgresql"]  # those that two processes can open


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, request, tmp_path)


@pytest.fixture(params=SHARED)
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, request, tmp_path)


@pytest.fixture
async def apps(url: str, clock: VirtualClock) -> AsyncIterator[Apps]:
    """Make apps on one store; they are stopped at the end, whatever they do."""
    made = Apps(url, clock)
    yield made
    await made.stop()


@pytest.fixture
async def shared(shared_url: str, clock: VirtualClock) -> AsyncIterator[Apps]:
    """Make apps on one store that outlives each of them."""
    made = Apps(shared_url, clock)
    yield made
    await made.stop()
