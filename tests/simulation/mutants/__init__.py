"""Broken engines that the simulator must find out: each one lacks a line of the protocol.

python -m tests.simulation.mutants [--seeds N] [--jobs N] [WORD…]

Prints for each mutant which seed killed it and by which rule. One that survives shows a hole in the
simulator, or a second belt beneath the first: then both are taken away at once by another mutant.
"""

from collections.abc import Mapping

from tests.simulation.mutants import claims, clocks, effects, ends, fencing, messages, owners, wakes
from tests.simulation.mutants.mutant import Mutant, by_name

MUTANTS: Mapping[str, Mutant] = by_name(
    fencing.MUTANTS,
    owners.MUTANTS,
    claims.MUTANTS,
    wakes.MUTANTS,
    clocks.MUTANTS,
    effects.MUTANTS,
    messages.MUTANTS,
    ends.MUTANTS,
)
