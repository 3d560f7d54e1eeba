"""Judges a history: what happened outside and what is stored, by rules that know no engine."""

from collections.abc import Callable, Iterator

from tests.crash.checker import effects, life, messages, places, questions
from tests.crash.checker.history import History, Violation

RULES: tuple[Callable[[History], Iterator[Violation]], ...] = (
    effects.at_most_once_begins_once,
    effects.marker_is_stored_before_the_body,
    effects.interrupted_is_told_and_stays_told,
    effects.completed_never_begins_again,
    effects.answer_is_always_the_same,
    effects.stored_is_never_rewritten,
    effects.nothing_is_made_up,
    effects.attempts_are_counted,
    effects.lost_part_is_a_suffix,
    effects.retry_is_never_early,
    effects.nothing_is_left_beneath,
    messages.accepted_is_stored,
    messages.consumed_once,
    messages.stored_consumption_agrees,
    messages.equal_keys_are_one_message,
    messages.order_is_kept,
    questions.answer_is_the_stored_one,
    questions.state_never_turns_back,
    places.holders_keep_to_the_limit,
    places.ended_stands_in_no_queue,
    places.guarded_bodies_do_not_meet,
    life.incarnation_has_one_process,
    life.fenced_never_writes_again,
    life.lost_begins_no_body,
    life.sleep_is_never_early,
    life.ended_stays_ended,
    life.acknowledged_start_exists,
    life.nothing_is_stuck,
    life.ended_is_owned_by_nobody,
    life.result_is_as_expected,
    life.file_is_sound,
)


def check(history: History) -> list[Violation]:
    """Give every broken promise."""
    return [violation for rule in RULES for violation in rule(history)]
