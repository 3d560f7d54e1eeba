"""The language of the random programs: all of it is written, and a calm run ends as predicted."""

from __future__ import annotations

import pytest

from tests.crash.torture.acts import CHILDREN, Language, walk
from tests.crash.torture.programs import TORTURE, WHOLE, Program, children_of, expected, program_of
from tests.simulation.run import judge

pytestmark = pytest.mark.crash

ENOUGH = 400


def kinds_of(program: Program) -> set[str]:
    parts = [program, *(child for _, child in children_of("f", program))]
    return {act.kind for part in parts for act in walk(part)}


@pytest.mark.parametrize("language", [TORTURE, WHOLE], ids=["torture", "whole"])
def test_every_word_is_written(language: Language) -> None:
    written = {kind for seed in range(ENOUGH) for kind in kinds_of(program_of(seed, 0, language))}
    words = {
        *(*language.simple, *language.blocks, *language.tops, *language.endings),
        *(*language.alone, *(CHILDREN if language is WHOLE else {"child"}), "branches"),
    }
    assert written == words


def test_every_effect_has_a_name_of_its_own_in_its_flow() -> None:
    for seed in range(ENOUGH):
        for program in (p for _, p in children_of("f", program_of(seed, 0, WHOLE))):
            texts = [act.text for act in walk(program) if act.kind != "common"]
            assert len(texts) == len(set(texts))


def test_a_program_is_the_same_for_the_same_seed() -> None:
    assert program_of(7, 1, WHOLE) == program_of(7, 1, WHOLE)
    assert program_of(7, 1, WHOLE) != program_of(8, 1, WHOLE)
    assert expected(program_of(7, 1, WHOLE)) == expected(program_of(7, 1, WHOLE))


@pytest.mark.parametrize("seed", range(20))
def test_a_calm_run_with_random_programs_breaks_no_promise(seed: int) -> None:
    """All choices but the weather come by chance, and nothing stands in the way of any word."""
    verdict = judge(seed, prepare=lambda run: run.world.weather.heal())
    assert verdict.violations == []
