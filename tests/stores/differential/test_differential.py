"""Every store answers as the model does, and holds what it holds, whatever it is asked."""

from collections.abc import Sequence

import pytest

from tests.stores.clock import FakeClock
from tests.stores.differential import steps as requests
from tests.stores.differential.comparing import Comparison, Difference, difference_in
from tests.stores.differential.fresh import run_seed, run_steps
from tests.stores.differential.generator import LENGTH, Generator
from tests.stores.differential.mutants import MUTANTS, Mutant, killer_of
from tests.stores.differential.shrinking import as_python, as_test, shrink
from tests.stores.differential.steps import Step
from tests.stores.differential.washing import types_in, wash
from unbroken.model import records
from unbroken.model.errors import StoreError
from unbroken.stores import batch
from unbroken.stores import store as stores
from unbroken.stores.store import Store

BLOCK = 5
SEEDS = range(0, 100, BLOCK)
TRIES = 150

# What must have been met, or it was not compared.
MUST_BE_MET = """
    fenced; commit: BatchRefused; deregistered; beat: something; beat: nothing; reap
    settle: something; settle: nothing; look; load; page
    start: created; start: attached; start: by an alias; start: ended
    record: written; record: refused; record: consumes; record: clears
    record: drops; record: forgets; record: restores; record: reply
    append: accepted; append: duplicate; append: no such flow; append: flow ended
    suspend: accepted; suspend: moved; suspend: refused; release: accepted; release: refused
    end: accepted; end: moved; end: refused; end: told; end: granted
    retry: accepted; retry: moved; retry: refused; retry: granted
    continue: accepted; continue: moved; continue: refused; continue: granted
    takeplace: accepted; takeplace: refused; takeplace: granted
    leaveplace: accepted; leaveplace: refused; leaveplace: granted
    correlate: accepted; correlate: refused; acknowledge: accepted; acknowledge: refused
    claim: claimed; claim: nothing; claim: a suspect; claim: poison
    amend: something; amend: nothing; mend: something; mend: nothing
    deleteended: something; deleteended: nothing; deleteflow: something; deleteflow: nothing
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", SEEDS)
async def test_a_store_and_the_model_agree(store: Store, clock: FakeClock, first: int) -> None:
    for seed in range(first, first + BLOCK):
        comparison = Comparison(store, clock)
        difference = await comparison.run(Generator(seed).request, LENGTH)
        if difference is not None:
            pytest.fail(await told(store, clock, comparison.steps, difference))
        await wash(store, clock, list(comparison.names.types))


async def told(
    store: Store, clock: FakeClock, steps: Sequence[Step], difference: Difference
) -> str:
    """Write a difference as a test, as small as can be; as it came if the store is beyond that."""

    async def judge(fewer: Sequence[Step]) -> Difference | None:
        await wash(store, clock, types_in(steps))
        return await difference_in(store, clock, fewer)

    try:
        fewer = await shrink(steps, difference, judge, TRIES)
        return as_test(fewer, await judge(fewer) or difference)
    except (AssertionError, StoreError):
        return as_test(steps, difference)


@pytest.mark.timeout(900)
async def test_each_kind_of_answer_is_met() -> None:
    missing = {one.strip() for line in MUST_BE_MET.splitlines() for one in line.split(";")} - {""}
    for seed in range(300):
        comparison, _ = await run_seed(seed)
        missing -= comparison.met.keys()
        if not missing:
            break
    assert missing == set()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=lambda mutant: mutant.what)
async def test_a_wrong_line_is_found_out(mutant: Mutant) -> None:
    assert await killer_of(mutant) is not None


@pytest.mark.timeout(900)
async def test_a_failing_sequence_is_made_smaller() -> None:
    mutant = MUTANTS["a message is not consumed"]
    found = await killer_of(mutant)
    assert found is not None
    seed, first = found
    with mutant.apply():
        comparison, _ = await run_seed(seed)
        fewer = await shrink(comparison.steps, first, run_steps)
        for index in range(len(fewer)):
            without = await run_steps([*fewer[:index], *fewer[index + 1 :]])
            assert without is None or without.kind != first.kind
        difference = await run_steps(fewer)
    assert difference is not None
    assert len(fewer) < len(comparison.steps)
    assert await run_steps(fewer) is None
    compile(as_test(fewer, difference), "the printed test", "exec")


async def test_what_is_printed_says_the_same() -> None:
    comparison, _ = await run_seed(1)
    names = {**vars(records), **vars(batch), **vars(stores), **vars(requests)}
    for step in comparison.steps:
        assert eval(as_python(step), names) == step
