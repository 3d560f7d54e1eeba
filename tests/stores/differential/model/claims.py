"""Claims: which flows a replica takes over, and which are parked instead.

What is due is taken from the oldest on, orphans before that. Which of equally old flows are taken
when not all can be, and which suspects, is the store's choice: here it is only judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tests.stores.differential.model.freedom import Chosen, NotAllowed
from tests.stores.differential.model.tables import FlowRow, Tables
from unbroken.model.records import FlowRef, Status
from unbroken.stores.batch import Claim

SUSPECT_AFTER = 2


class Candidate(msgspec.Struct, frozen=True):
    """A flow that may be claimed. `losses`: how often it lost its replica, this time too."""

    number: int
    due_at: int | None
    losses: int

    @property
    def is_suspect(self) -> bool:
        return self.losses >= SUSPECT_AFTER

    @property
    def turn(self) -> tuple[bool, int]:
        """Orphans first, then by the time at which they were due."""
        return self.due_at is not None, self.due_at or 0


def take(tables: Tables, replica: str, claim: Claim) -> tuple[tuple[int, ...], tuple[FlowRef, ...]]:
    """Make the replica the owner of what it may run; give that, and what was parked instead."""
    found = list(_candidates(tables, claim))
    poisonous = [one for one in found if one.is_suspect and one.losses >= claim.poison_after]
    healthy = [one for one in found if one not in poisonous]
    chosen = tables.freedom.chosen or _plain_choice(claim, healthy, poisonous)
    _judge_parked(claim, chosen, found, poisonous)
    _judge_claimed(claim, chosen, healthy)
    _judge_left(claim, chosen, found, healthy)
    parked = tuple(park(tables, number, claim.poison) for number in sorted(chosen.parked))
    for one in healthy:
        if one.number in chosen.claimed:
            _own(tables, replica, one)
    return chosen.claimed, parked


def park(tables: Tables, number: int, error: str) -> FlowRef:
    """Stop a flow until an operator restarts it."""
    return tables.change(
        number,
        status=Status.PARKED,
        owner=None,
        due_at=None,
        ended_at=tables.now,
        error=error,
        crashes=0,
    ).ref


def _candidates(tables: Tables, claim: Claim) -> Iterator[Candidate]:
    for number, flow in tables.flows.items():
        if flow.ref.type not in claim.types:
            continue
        if flow.due_at is not None and flow.due_at <= tables.now:
            yield Candidate(number, flow.due_at, flow.crashes)
        elif flow.owner in claim.dead and flow.owner not in tables.replicas:
            yield Candidate(number, None, _losses(tables, flow))


def _losses(tables: Tables, flow: FlowRow) -> int:
    """Count this loss too; what was recorded in the incarnation is progress, and counts anew."""
    got_further = any(
        number == flow.ref.number and effect.incarnation == flow.incarnation
        for (number, _), effect in tables.effects.items()
    )
    return 1 if got_further else flow.crashes + 1


def _own(tables: Tables, replica: str, one: Candidate) -> None:
    flow = tables.flows[one.number]
    tables.change(
        one.number,
        owner=replica,
        incarnation=flow.incarnation + 1,
        crashes=one.losses,
        due_at=None,
        not_before=0,
        seen=flow.inbox,
    )


def _plain_choice(
    claim: Claim, healthy: Sequence[Candidate], poisonous: Sequence[Candidate]
) -> Chosen:
    suspects = [one for one in healthy if one.is_suspect][: claim.suspects]
    some = [one for one in healthy if not one.is_suspect or one in suspects]
    some.sort(key=lambda one: one.turn)
    taken = tuple(one.number for one in some[: claim.limit])
    parked = frozenset(one.number for one in poisonous)
    return Chosen(claimed=taken, parked=parked)


def _judge_parked(
    claim: Claim, chosen: Chosen, found: Sequence[Candidate], poisonous: Sequence[Candidate]
) -> None:
    allowed = {one.number for one in poisonous}
    if not chosen.parked <= allowed:
        raise NotAllowed(f"parked {set(chosen.parked)}, but only {allowed} lost it so often")
    suspects = [one for one in found if one.is_suspect]
    # With more suspects than a claim may look at, the others are left to the next one.
    if len(suspects) <= claim.limit and chosen.parked != allowed:
        raise NotAllowed(f"parked only {set(chosen.parked)} of {allowed}")


def _judge_claimed(claim: Claim, chosen: Chosen, healthy: Sequence[Candidate]) -> None:
    by_number = {one.number: one for one in healthy}
    unknown = [number for number in chosen.claimed if number not in by_number]
    if unknown or len(set(chosen.claimed)) < len(chosen.claimed):
        raise NotAllowed(f"claimed {chosen.claimed}, of which {unknown} may not be claimed")
    taken = [by_number[number] for number in chosen.claimed]
    turns = [one.turn for one in taken]
    if turns != sorted(turns):
        raise NotAllowed(f"claimed {chosen.claimed}, which are not the oldest first")
    suspects = sum(one.is_suspect for one in taken)
    if len(taken) > claim.limit or suspects > claim.suspects:
        raise NotAllowed(f"claimed {len(taken)}, of them {suspects} suspects: too many")


def _judge_left(
    claim: Claim, chosen: Chosen, found: Sequence[Candidate], healthy: Sequence[Candidate]
) -> None:
    taken = [one for one in healthy if one.number in chosen.claimed]
    left = [one for one in healthy if one.number not in chosen.claimed]
    wrong = [one for one in left if not one.is_suspect]
    if len(taken) == claim.limit:
        last = max((one.turn for one in taken), default=(False, 0))
        wrong = [one for one in wrong if one.turn < last]
    elif sum(one.is_suspect for one in taken) < claim.suspects:
        # With more suspects than a claim may look at, it need not see one that is fit to run.
        seen = sum(one.is_suspect for one in found) <= claim.limit
        wrong = left if seen else wrong
    if wrong:
        raise NotAllowed(f"claimed {chosen.claimed} and left {wrong}")
