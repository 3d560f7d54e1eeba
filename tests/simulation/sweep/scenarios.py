"""All scenarios by their names."""

from __future__ import annotations

from tests.simulation.sweep.example_flows import examples
from tests.simulation.sweep.scenario import Scenario, cases
from tests.simulation.sweep.smallest import SMALLEST

SCENARIOS: dict[str, Scenario] = {**SMALLEST, **cases(), **examples()}
