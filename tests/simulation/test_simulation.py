"""Some seeds of the simulator with every run of the tests; `make simulate` runs more."""

import gc
import json
import logging
import os
import subprocess
import sys
import warnings

import pytest

from tests.programs import ROOT
from tests.simulation import marks
from tests.simulation.block import IS_WHOLE, SEEDS, block
from tests.simulation.campaign import STRIDE
from tests.simulation.mutants import MUTANTS
from tests.simulation.run import judge
from tests.simulation.shrinking import rule_of, shrink

pytestmark = [pytest.mark.crash, pytest.mark.timeout(2400), pytest.mark.xdist_group("block")]
FAULTS = ("operation: ", "spell: ", "clock: ", "wake: ", "process: ", "doubled: ", "late: ")


def test_no_promise_is_broken() -> None:
    found = block()
    assert found.seeds == SEEDS
    assert [(one.seed, one.weather, one.violations) for one in found.bad] == []


def test_a_seed_gives_the_same_trace_whatever_the_hash_seed() -> None:
    """Nothing depends on the order of a set, or on anything else that a seed does not fix."""
    program = (
        "import json; from tests.simulation.campaign import *; "
        f"print(json.dumps(live_through_all(range(0, {SEEDS}, {STRIDE}), 2).traces))"
    )
    again = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert block().traces == {int(seed): trace for seed, trace in json.loads(again).items()}
    assert len(block().traces) == SEEDS // STRIDE


def test_every_fault_comes() -> None:
    never = [mark for mark in marks.missing(block().met) if mark.startswith(FAULTS)]
    assert [mark for mark in never if IS_WHOLE or mark not in marks.RARE] == []


def test_nothing_of_a_run_is_left_to_the_next_test(caplog: pytest.LogCaptureFixture) -> None:
    """Tasks, futures and coroutines of killed processes end with their run, and in silence."""
    unraisable: list[object] = []
    hook, sys.unraisablehook = sys.unraisablehook, unraisable.append
    try:
        with (
            warnings.catch_warnings(record=True) as warned,
            caplog.at_level(logging.DEBUG, "asyncio"),
        ):
            warnings.simplefilter("always")
            for seed in range(30):
                judge(seed)
            gc.collect()
    finally:
        sys.unraisablehook = hook
    assert unraisable == []
    assert [str(one.message) for one in warned] == []
    assert [one.getMessage() for one in caplog.records if one.name == "asyncio"] == []


def test_a_failing_run_is_made_smaller() -> None:
    with MUTANTS["a consumed message stays"].apply():
        whole = next(one for one in map(judge, range(50)) if rule_of(one) == "consumed")
        found = shrink(whole.seed, tries=4)
        assert found is not None
        tape, rule = found
        assert rule == "consumed"
        assert len(tape) < len(whole.tape)
        assert rule_of(judge(whole.seed, tape)) == rule
    assert judge(whole.seed, tape).violations == []
