"""Mutants of the guard on each kind of write: that its replica owns this incarnation of the flow.

The replica's row is the first belt, this guard the second: alone each one may cover the other.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.simulation.mutants import grounds
from tests.simulation.mutants.mutant import Mutant, Patch, all_of, sql, statement

# ?9 stays in the statement: who binds nine values must find nine places for them.
ANY_RECORD = sql(
    "record",
    "number = ?1 AND owner = ?9 AND incarnation = ?8",
    "number = ?1 AND (?9 = ?9 OR owner = ?9)",
)
ANY_INCARNATION = sql(
    "record",
    "number = ?1 AND owner = ?9 AND incarnation = ?8",
    "number = ?1 AND owner = ?9",
)
OWNED = "number = :flow AND owner = :replica AND incarnation = :incarnation"
ANYONE = "number = :flow AND status = 'live'"
# Where the replica's row is gone, other rows are changed to what they are: the batch passes.
NO_FENCE = statement(
    "fence",
    """UPDATE replicas SET batch = CASE WHEN id = :replica THEN :number ELSE batch END,
                           beat = CASE WHEN id = :replica THEN :now ELSE beat END
        WHERE (id = :replica AND generation = :generation AND batch = :number - 1)
           OR NOT EXISTS (SELECT 1 FROM replicas WHERE id = :replica)""",
)
FENCED = "the replica's row refuses the whole batch of who lost its flows"
GUARDS: Mapping[str, Patch] = {
    "effects compare no owner": ANY_RECORD,
    "effects compare no incarnation": ANY_INCARNATION,
    "states compare no owner": sql("publish", OWNED, "number = :flow"),
    "suspensions compare no owner": sql("suspend", OWNED, ANYONE),
    "releases compare no owner": sql("release", OWNED, ANYONE),
    "ends compare no owner": sql("end_flow", OWNED, ANYONE),
    "tries compare no owner": sql("retry_flow", OWNED, ANYONE),
    "who goes on anew compares no owner": sql("continue_flow", OWNED, ANYONE),
    "places compare no owner": sql("owns", OWNED, ANYONE),
}
WITHOUT_ROW = "a batch is written without its replica's row"
MUTANTS = (
    Mutant(WITHOUT_ROW, NO_FENCE, grounds.ZOMBIES, "each write compares owner and incarnation too"),
    *(Mutant(guard, apply, grounds.ZOMBIES, FENCED) for guard, apply in GUARDS.items()),
    *(
        Mutant(
            f"{WITHOUT_ROW}, and {guard}",
            all_of(NO_FENCE, apply),
            grounds.ZOMBIES,
            is_slow=True,  # a write of just this kind must come late, from the dead, after a claim
        )
        for guard, apply in GUARDS.items()
    ),
    Mutant(
        "acknowledgements compare no owner",
        sql("acknowledge", OWNED, ANYONE),
        survives="what is acknowledged too early is found by the next suspension",
    ),
)
