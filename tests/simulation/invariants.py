"""Which rule judges which invariant, and why some of them are judged elsewhere.

An invariant is a sentence that holds in every run, whatever happens. A rule is a function that
looks for a breach of it in what a run left behind: those of `tests/crash/checker` judge the torture
of real processes too, the others only the simulator. Where an invariant has no rule here, it says
who judges it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Invariant(msgspec.Struct, frozen=True):
    """What holds, and the rules that look for a breach; without rules: who looks instead."""

    what: str
    rules: tuple[str, ...] = ()
    instead: str = ""


def _by(what: str, *rules: str) -> Invariant:
    return Invariant(what, rules)


def _not_here(what: str, instead: str) -> Invariant:
    return Invariant(what, (), instead)


OWNERSHIP: Mapping[str, Invariant] = {
    "I1": _by(
        "incarnations of accepted writes never go back",
        "ended_stays_ended",
        "stored_is_never_rewritten",
    ),
    "I2": _by("one incarnation has one process", "incarnation_has_one_process"),
    "I3": _by(
        "a zombie's write of any kind is refused",
        "fenced_never_writes_again",
        "stored_is_never_rewritten",
        "wrongly_consumed",
    ),
    "I4": _by("who was fenced off begins no body", "lost_begins_no_body"),
    "I5": _by("past its lease a process begins no body", "begun_after_the_lease"),
    "I6": _by("an identity is used once", "fenced_never_writes_again"),
    "I7": _by("while an outcome is unknown no body begins", "completed_never_begins_again"),
    "I8": _not_here(
        "each fenced transaction changes the owner's row",
        "tests/stores, and the mutant whose fence changes nothing",
    ),
    "I9": _by("an end is changed only by an operator", "ended_stays_ended"),
}
CAPTURES: Mapping[str, Invariant] = {
    "I10": _by(
        "an at-most-once body begins once",
        "at_most_once_begins_once",
        "renamed_once_begins_once",
        "begun_without_leave",
        "preset_begins_never",
    ),
    "I11": _by("its mark is stored before it begins", "marker_is_stored_before_the_body"),
    "I12": _by("an interruption is told, once and for all", "interrupted_is_told_and_stays_told"),
    "I13": _by(
        "what is complete never begins again",
        "completed_never_begins_again",
        "stumbled_in_vain",
        "renamed_is_found_again",
    ),
    "I14": _by("a replay gives the stored result", "answer_is_always_the_same"),
    "I15": _by(
        "a flow that is done has its effects, tried no more often than declared",
        "nothing_is_made_up",
        "attempts_are_counted",
        "result_is_predicted",
    ),
    "I16": _not_here("a user's rows exist if the effect does", "`within(connection)` is not built"),
    "I17": _by("a crash loses the end of a journal and nothing else", "lost_part_is_a_suffix"),
    "I18": _by(
        "the same code takes the same keys", "result_is_predicted", "answer_is_always_the_same"
    ),
    "I19": _by("a retry is never early", "retry_is_never_early"),
}
MESSAGES: Mapping[str, Invariant] = {
    "I20": _by("an acknowledged message is stored", "accepted_is_stored"),
    "I21": _by("a message is consumed once", "consumed_once", "wrongly_consumed"),
    "I22": _by("a wanted message is consumed", "nothing_is_stuck"),
    "I23": _by("equal keys are one message", "equal_keys_are_one_message"),
    "I24": _by("the order is kept", "order_is_kept"),
    "I25": _not_here("what is not committed is not seen", "tests/stores: one transaction a batch"),
    "I26": _by("message and time-out have one winner", "consumed_once", "wrongly_consumed"),
    "I27": _by("a message to no flow is answered, and none is dropped", "accepted_is_stored"),
    "I28": _not_here("a message that cannot be read parks its flow only", "tests/flows"),
}
TIME: Mapping[str, Invariant] = {
    "I29": _by("no wait is over early", "sleep_is_never_early", "moment_is_never_early"),
    "I30": _by("a deadline never changes", "sleep_is_never_early", "consumed_once"),
    "I31": _not_here("nothing is late by more than a poll", "a figure of the load tests, no rule"),
    "I32": _by(
        "clocks that are wrong change neither owners nor waits",
        "sleep_is_never_early",
        "moment_is_never_early",
        "incarnation_has_one_process",
    ),
    "I33": _not_here("a slot of a schedule starts one flow", "schedules are not built"),
}
LIFE: Mapping[str, Invariant] = {
    "I34": _by("starts of one id make one flow", "result_is_predicted", "ended_stays_ended"),
    "I35": _by("an acknowledged start exists", "acknowledged_start_exists", "preset_begins_never"),
    "I36": _by("no flow is stuck", "nothing_is_stuck"),
    "I37": _by("no wake-up is lost", "nothing_is_stuck", "found_wrong"),
    "I38": _by("a takeover that failed leaves the flow claimable", "nothing_is_stuck"),
    "I39": _not_here("a failing type holds up no other", "a figure of the load tests, no rule"),
    "I40": _by("poison is parked, its siblings end", "nothing_is_stuck", "result_is_predicted"),
    "I41": _not_here("nobody is busy with nothing", "the loop gives up after too many turns"),
    "I42": _by("who was stopped does nothing", "stopped_does_nothing"),
    "I43": _by(
        "a cancelled flow ends cancelled",
        "ended_well_although_cancelled",
        "cancelled_flow_compensates",
        "saga_undoes_what_was_done",
        "tidies_when_the_wait_is_over",
    ),
}
COMPOSITION: Mapping[str, Invariant] = {
    "I44": _by("a child starts once", "result_is_predicted", "ended_stays_ended"),
    "I45": _by("its end is told once", "result_is_predicted", "wrongly_consumed"),
    "I46": _by("a cancel reaches children by policy", "cancel_goes_by_policy"),
    "I47": _by(
        "no more holders than places, first come, first served",
        "holders_keep_to_the_limit",
        "ended_stands_in_no_queue",
        "met_behind_a_lock",
        "first_come_first_served",
    ),
}
INVARIANTS: Mapping[str, Invariant] = {
    **OWNERSHIP,
    **CAPTURES,
    **MESSAGES,
    **TIME,
    **LIFE,
    **COMPOSITION,
}
