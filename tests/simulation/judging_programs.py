"""Rules about what random programs do: what a deploy, a restart, a cancel may do to them."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import pairwise

import msgspec

from tests.crash.checker.history import FINAL
from tests.crash.ledger import Line
from tests.crash.snapshot import Snapshot
from tests.crash.torture.acts import CHILDREN, DEPLOYED
from tests.crash.torture.predicting import CANCELLED, INTERRUPTED
from tests.crash.torture.programs import COMMON_ID, REPAIRED_CODE, Act, Program, expected, walk
from tests.simulation.exemptions import tried_again_by_unfit
from tests.simulation.world import World

IN_SAGA = re.compile(
    r"(?P<saga>(?:.*/)?saga(?:#\d+)?)/"
    r"(?:touch|thread|once|resolve|flaky|nested|refuse) (?P<text>[\d a-z]+)$"
)
ENDED_AT = "SELECT type || ' ' || id, ended_at FROM flows WHERE ended_at IS NOT NULL"


class Story:
    """What happened in one run, as the rules ask for it."""

    def __init__(self, world: World, programs: dict[str, Program], end: Snapshot) -> None:
        self.world = world
        self.programs = programs
        self.end = end
        self.lines = world.lines_of

    def has_line(self, kind: str, flow: str) -> bool:
        """Whether a flow has a line of a kind."""
        return any(line.flow == flow for line in self.lines(kind))

    @cached_property
    def cancelled_flows(self) -> frozenset[str]:
        """The flows of which somebody outside asked that they cancel themselves."""
        return frozenset(line.flow for line in self.lines("cancelled"))

    @cached_property
    def cancelled_children(self) -> frozenset[str]:
        """The ids of children that were cancelled by themselves, and have ended so."""
        rows = self.end.flows
        return frozenset(
            rows[flow].id
            for flow in self.cancelled_flows
            if flow in rows and "/" in rows[flow].id and rows[flow].status == "cancelled"
        )

    @cached_property
    def rerun(self) -> frozenset[str]:
        """The flows that ran again, or may have, after a failure."""
        restarted = {line.flow for line in self.lines("restarting")}
        return frozenset(restarted | {one for one in self.end.flows if one.startswith("persist ")})

    def is_under_a_cancel(self, flow: str) -> bool:
        """Whether a flow, or one above it, was asked to cancel itself."""
        id = flow.partition(" ")[2]
        return any(
            id == other or id.startswith(f"{other}/")
            for other in (one.partition(" ")[2] for one in self.cancelled_flows)
        )

    def was_told(self, id: str) -> bool:
        """Whether a flow, or one beneath it, was told of an unknown outcome."""
        ids = [line.flow.partition(" ")[2] for line in self.lines("interrupted")]
        return any(one in {id, COMMON_ID} or one.startswith(f"{id}/") for one in ids)

    def acts(self, *kinds: str) -> Iterator[tuple[str, Act]]:
        """Give each act of these kinds with its flow."""
        for flow, program in self.programs.items():
            for act in walk(program):
                if act.kind in kinds:
                    yield flow, act

    def children(self) -> Iterator[tuple[str, str, Act]]:
        """Give the parent, the child and the act that starts it."""
        for flow, act in self.acts(*CHILDREN):
            yield flow, f"interpret {flow.partition(' ')[2]}/{act.text}", act


def found_wrong(story: Story) -> Iterator[str]:
    """Give what who uses the flows saw at once."""
    for line in story.lines("wrong"):
        yield f"wrong: {line.flow}: {line.value}"


# results


def result_is_predicted(story: Story) -> Iterator[str]:
    """Find results that somebody got, or that are stored, and that the model does not give."""
    found = [(line.flow, line.value) for line in story.lines("result")]
    for flow, row in story.end.flows.items():
        if row.status == "done" and row.result is not None:
            found.append((flow, msgspec.json.decode(msgspec.json.decode(row.result))))
    for flow, value in found:
        if flow not in story.programs or story.is_under_a_cancel(flow):
            continue
        id = flow.partition(" ")[2]
        wanted = expected(story.programs[flow], id, story.cancelled_children)
        if not _agree(wanted, value, told=story.was_told(id)):
            yield f"result_is_predicted: {flow}: expected {wanted}, found {value}"


def _agree(wanted: object, found: object, *, told: bool) -> bool:
    """An interruption is an outcome too, where the flow was told of one."""
    if wanted != found and found == INTERRUPTED:
        return told
    if isinstance(wanted, list) and isinstance(found, list):
        pairs = zip(wanted, found, strict=False)
        same = all(_agree(one, other, told=told) for one, other in pairs)
        return same and len(wanted) == len(found)
    return wanted == found


# what may begin again, and what may not


def stumbled_in_vain(story: Story) -> Iterator[str]:
    """Find effects that failed their flow, and began again after it had seen their result."""
    yield from _begun_after_saw(story, "stumble ")


def _begun_after_saw(story: Story, prefix: str) -> Iterator[str]:
    seen = _first_seen(story)
    for line in story.lines("begin"):
        saw = seen.get((line.flow, line.effect))
        if saw is not None and line.effect.startswith(prefix) and line.at > saw.at:
            yield f"stumbled_in_vain: {line.flow}: {line.effect}: seen at {saw.at}, {line}"


def _first_seen(story: Story) -> dict[tuple[str, str], Line]:
    seen: dict[tuple[str, str], Line] = {}
    for line in story.lines("saw"):
        seen.setdefault((line.flow, line.effect), line)
    return seen


def begun_without_leave(story: Story) -> Iterator[str]:
    """Find at-most-once effects that began again and were not removed in between."""
    begins: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for line in story.lines("begin"):
        if line.effect.startswith("strict "):
            begins[line.flow, line.effect].append(line.at)
    for (flow, effect), moments in begins.items():
        removals = [
            line.at
            for line in story.lines("removing")
            if (line.flow, line.effect) == (flow, effect)
        ]
        for before, after in pairwise(moments):
            if not any(before < at < after for at in removals):
                yield f"begun_without_leave: {flow}: {effect} at {before} and {after}"


def preset_begins_never(story: Story) -> Iterator[str]:
    """Find bodies of effects that had their result before the first line."""
    for line in story.lines("begin"):
        if line.effect.startswith("preset "):
            yield f"preset_begins_never: {line.flow}: {line}"


def tidies_when_the_wait_is_over(story: Story) -> Iterator[str]:
    """Find `finally` blocks that did something although their flow only left memory."""
    waited: dict[tuple[str, str], int] = {}
    for line in story.lines("waited"):
        waited.setdefault((line.flow, line.effect.rpartition("/")[2]), line.at)
    for line in story.lines("begin"):
        name = line.effect.rpartition("/")[2]
        if name.startswith("tidy ") and not story.is_under_a_cancel(line.flow):
            over = waited.get((line.flow, name))
            if over is None or over > line.at:
                yield f"tidies_when_the_wait_is_over: {line.flow}: {line}"


# deploys


def renamed_once_begins_once(story: Story) -> Iterator[str]:
    """Find at-most-once effects that began under both of their names, whichever code ran."""
    begins = Counter(
        (line.flow, re.sub(r"(^|/)(ship|deliver) ", r"\1", line.effect))
        for line in story.lines("begin")
        if re.search(r"(^|/)(ship|deliver) ", line.effect)
    )
    exempt = tried_again_by_unfit(story.world)
    for (flow, effect), times in begins.items():
        if times > 1 and flow not in exempt:
            yield f"renamed_once_begins_once: {flow}: {effect} began {times} times"


def renamed_is_found_again(story: Story) -> Iterator[str]:
    """Find effects that the repaired code began although it, or other code, had seen their result.

    The unfit code, and the first one after a newer one, may do them a second time.
    """
    code = {(one.flow, one.incarnation): one.value[1] for one in story.lines("started")}
    seen: dict[tuple[str, str], Line] = {}
    for line in story.lines("renamed"):
        seen.setdefault((line.flow, line.effect), line)
    for line in story.lines("begin"):
        scope, _, name = line.effect.rpartition("/")
        verb, _, text = name.partition(" ")
        if verb not in {"former", "latter"}:
            continue
        saw = seen.get((line.flow, f"{scope}/{text}" if scope else text))
        is_repaired = code.get((line.flow, line.incarnation)) == REPAIRED_CODE
        if saw is not None and is_repaired and line.incarnation > saw.incarnation:
            yield f"renamed_is_found_again: {line.flow}: seen as {saw}, begun: {line}"


def version_stays(story: Story) -> Iterator[str]:
    """Find flows whose version changed although they did not begin anew."""
    versions: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    for line in story.lines("started"):
        run, _, version = line.value
        versions[line.flow, run].add(version)
    for (flow, run), found in versions.items():
        if len(found) > 1:
            yield f"version_stays: {flow}: run {run} had the versions {found}"


# time, states, places


def moment_is_never_early(story: Story) -> Iterator[str]:
    """Find sleeps until a moment that were over before it."""
    if "sleep_is_never_early" in story.world.weather.unjudged:
        return
    wanted: dict[tuple[str, str], int] = {}
    for line in story.world.lines:
        if line.kind == "until":
            wanted[line.flow, line.effect] = line.value
        elif line.kind == "reached" and line.wall < wanted[line.flow, line.effect]:
            yield f"moment_is_never_early: {line.flow}: {line}"


def read_states_never_turn_back(story: Story) -> Iterator[str]:
    """Find flows that showed a reader an older state after a newer one.

    New code may do something before what the flow has shown already, and shows it again; so does a
    flow that failed and queues up again for the places it held.
    """
    changing = {flow for flow, _ in story.acts(*DEPLOYED)}
    changing |= {flow for flow, _ in story.acts("lock", "room") if flow in story.rerun}
    shown: defaultdict[str, list[int]] = defaultdict(list)
    for line in story.lines("read"):
        shown[line.flow].append(line.value or 0)
    for flow, states in shown.items():
        is_changed = flow in changing or story.has_line("restarting", flow)
        if not is_changed and any(before > after for before, after in pairwise(states)):
            yield f"read_states_never_turn_back: {flow}: {states}"


def first_come_first_served(story: Story) -> Iterator[str]:
    """Find queues in which somebody waits before one that holds a place."""
    snapshots = [story.end, *(death.stored for death in story.world.deaths)]
    for snapshot in snapshots:
        waiting: dict[str, str] = {}
        for place in snapshot.places:
            if not place.held:
                waiting.setdefault(place.queue, place.flow)
            elif place.queue in waiting:
                first = waiting[place.queue]
                yield f"first_come_first_served: {place.flow} went before {first}"


# cancels, children, stops


def cancel_goes_by_policy(story: Story) -> Iterator[str]:
    """Find children that were cancelled and should not be, or ended well after their parent."""
    ended = _ended_at(story.world.database)
    for parent, child, act in story.children():
        above, row = story.end.flows.get(parent), story.end.flows.get(child)
        if above is None or row is None or child in story.cancelled_flows:
            continue
        if row.status == "cancelled" and act.option != "cancel" and not _may_wait(row.id, story):
            yield f"cancel_goes_by_policy: {child} ({act.option}) was cancelled"
        is_bound = above.status == "cancelled" and act.option == "cancel"
        is_late = is_bound and row.status == "done" and ended[child] > ended[parent]
        if is_late:
            yield f"cancel_goes_by_policy: {child} is done, and ended after its parent"


def _may_wait(id: str, story: Story) -> bool:
    """Whether a child waits for a cancel by itself."""
    program = story.programs.get(f"interpret {id}", ())
    return expected(program) == CANCELLED


def _ended_at(database: sqlite3.Connection) -> dict[str, int]:
    return dict(database.execute(ENDED_AT).fetchall())


def cancelled_flow_compensates(story: Story) -> Iterator[str]:
    """Find waits that a cancel ended although their flow did not do what it does then."""
    for flow, rows in story.end.effects.items():
        for key in rows:
            if not key.endswith("message:Never.cancel") or "/" in key:
                continue
            program = story.programs.get(flow, ())
            last = program[-1] if program else Act("", "")
            if last.kind == "never" and f"undo {last.text}" not in rows:
                yield f"cancelled_flow_compensates: {flow}: {key}"


def saga_undoes_what_was_done(story: Story) -> Iterator[str]:
    """Find acts of a saga, each of which was undone or is to be, that were not."""
    undone = {(line.flow, line.effect) for line in story.lines("end")}
    for line in story.lines("saw"):
        found = IN_SAGA.match(line.effect)
        row = story.end.flows.get(line.flow)
        if found is None or row is None or row.status not in FINAL:
            continue
        key = f"{found['saga']}/undo:back {found['text']}"
        if (line.flow, key) not in undone:
            yield f"saga_undoes_what_was_done: {line.flow}: {line.effect}, and nothing of {key}"


def stopped_does_nothing(story: Story) -> Iterator[str]:
    """Find processes that did something after their stop had returned (I42)."""
    left: dict[int, int] = {}
    for line in story.world.lines:
        if line.kind == "left":
            left[line.value] = line.at
        elif line.pid in left and line.pid:
            yield f"stopped_does_nothing: process {line.pid}, after {left[line.pid]}: {line}"


RULES: tuple[Callable[[Story], Iterator[str]], ...] = (
    found_wrong,
    result_is_predicted,
    stumbled_in_vain,
    begun_without_leave,
    preset_begins_never,
    tidies_when_the_wait_is_over,
    renamed_once_begins_once,
    renamed_is_found_again,
    version_stays,
    moment_is_never_early,
    read_states_never_turn_back,
    first_come_first_served,
    cancel_goes_by_policy,
    cancelled_flow_compensates,
    saga_undoes_what_was_done,
    stopped_does_nothing,
)
