"""A part of the sweep with every run of the tests; `python -m tests.simulation.sweep` makes all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from tests.simulation.sweep.__main__ import show
from tests.simulation.sweep.campaign import Sweep, blows_at
from tests.simulation.sweep.faults import Blow, Fault, Spell
from tests.simulation.sweep.run import Layout, in_silence, run
from tests.simulation.sweep.scenarios import SCENARIOS
from tests.simulation.sweep.smallest import SMALLEST
from unbroken.engine import captures
from unbroken.engine.replica import Replica

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]

BEGIN = "_begin_once"
REST = [name for name in SCENARIOS if name not in SMALLEST]


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    with in_silence():
        yield


@pytest.mark.parametrize("layout", [Layout.ALONE, Layout.BESIDE], ids=lambda one: one.value)
@pytest.mark.parametrize("name", SMALLEST)
def test_a_small_flow_survives_each_fault_at_each_operation(name: str, layout: Layout) -> None:
    report = Sweep(SMALLEST[name], layout).single()
    assert report.found == []
    assert report.runs > 10 * report.operations > 70
    assert (report.met["batches fenced off"] > 0) == (layout is Layout.BESIDE)


@pytest.mark.parametrize("name", REST)
def test_a_flow_survives_each_fault(name: str) -> None:
    report = Sweep(SCENARIOS[name], Layout.APART).each_fault(REST.index(name))
    assert report.found == []
    assert all(report.met.get(fault.value) for fault in Fault)


def test_two_faults_one_after_the_other_do_no_harm() -> None:
    report = Sweep(SMALLEST["one_at_most_once"], Layout.ALONE, every=11).pairs()
    assert report.found == []
    assert report.runs > 500


def test_every_fault_is_tried_once_and_lasting() -> None:
    writes = list(blows_at(1, "commit a", Layout.APART))
    once = {blow.fault for blow in writes if blow.spell is Spell.ONCE}
    lasting = {blow.fault for blow in writes if blow.spell is Spell.ALL}
    assert once | {Fault.READ_ONLY} == set(Fault)
    assert lasting | {Fault.SLOW, Fault.DOUBLED, Fault.FREEZE_AFTER} == set(Fault)


def test_the_same_run_is_the_same_again() -> None:
    blows = (Blow(4, Fault.STALLED, Spell.PROCESS), Blow(20, Fault.CRASH_AFTER))
    first, second = (run(SCENARIOS["questions"], Layout.APART, blows) for _ in range(2))
    assert first.lines == second.lines
    assert first.met["stalled"] > 1
    assert first.met["crash after"] == 1


def test_a_run_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("one_capture", "beside", str(Blow(5, Fault.LATE)), "9:freeze before:once") == 0
    shown = capsys.readouterr().out
    assert "one_capture MK-1 a" in shown
    assert "stopped" in shown
    assert "no promise is broken" in shown


async def assume_landed(self: Replica) -> bool:
    """Take an unknown outcome for done."""
    return True


async def nothing(*_: object) -> None:
    """Write no marker."""


@pytest.mark.parametrize(
    ("owner", "name", "broken"), [(Replica, "settle", assume_landed), (captures, BEGIN, nothing)]
)
def test_a_broken_engine_is_found_out(owner: Any, name: str, broken: object) -> None:
    with patch.object(owner, name, broken):
        sweep = Sweep(SMALLEST["one_at_most_once"], Layout.ALONE)
        blows = (
            blow
            for number, what in enumerate(sweep.fair.passed, 1)
            for blow in blows_at(number, what, Layout.ALONE)
        )
        assert any(sweep.try_out((blow,)).violations for blow in blows)
