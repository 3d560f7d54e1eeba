"""The rule of the lease, as a stranger sees it: who may have been declared dead begins nothing."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.crash.ledger import Line
from tests.simulation.network import LEASE, Proof

# Between its last look at the lease and its first line a body may lose so much time, more if the
# process is frozen there.
MARGIN = 50_000


def begun_after_the_lease(lines: Sequence[Line], proofs: Sequence[Proof]) -> Iterator[str]:
    """Find bodies that began when their process had not been heard of for longer than a lease (I5).

    A process knows that it was heard of when the answer is there, and counts from the sending.
    """
    heard: defaultdict[int, list[Proof]] = defaultdict(list)
    for proof in proofs:
        heard[proof.process].append(proof)
    thawed: dict[int, int] = {}
    for line in lines:
        if line.kind == "continued":
            thawed[line.value] = line.at
        if line.kind != "begin" or line.at - thawed.get(line.pid, -MARGIN) <= MARGIN:
            continue
        known = heard[line.pid]
        count = bisect_right(known, (line.at + 1) / 1e6, key=lambda proof: proof.at)
        sent = max((proof.sent for proof in known[:count]), default=0.0)
        if line.at / 1e6 > sent + LEASE + MARGIN / 1e6:
            yield (
                f"lease: {line.flow}: {line.effect} began in process {line.pid} at {line.at}, "
                f"which was last heard of by what it sent at {int(sent * 1e6)}"
            )
