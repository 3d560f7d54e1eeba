"""The inbox against a plain list: who gets which message, and how often each is looked at."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from unbroken.engine.inbox import Inbox, Search
from unbroken.model.records import Message

MANY = 10_000
TYPES = ("a", "b", "~c")


def letter(position: int, type: str = "a", sent_at: int = 0) -> Message:
    key = f"~{position}" if type.startswith("~") else f"={position}"
    return Message(position, key, type, str(position), sent_at)


class Asked:
    """A predicate that counts how often it was asked."""

    def __init__(self, wants: Callable[[Message], bool] = lambda _: True) -> None:
        self.times = 0
        self._wants = wants

    def __call__(self, message: Message) -> bool:
        self.times += 1
        return self._wants(message)


class PlainList:
    """What an inbox does, without any care for time."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def take(self, search: Search) -> Message | None:
        for message in sorted(self.messages, key=lambda one: one.position):
            seen = message.type if message.key.startswith("=") else message.key
            is_named = search.names is not None and seen in search.names
            is_asked = search.names is None and message.key.startswith("=")
            if (is_named or is_asked) and search.may_want(seen) and search.wants(message):
                self.messages.remove(message)
                return message
        return None


def searches() -> list[Search]:
    return [
        Search(lambda _: True),
        Search(lambda message: message.position % 3 == 0),
        Search(lambda message: message.position % 2 == 0, of_type=lambda type: type == "a"),
        Search(lambda _: True, until=20),
        Search(lambda _: True, names=frozenset(("~3", "~4"))),
        Search(lambda message: message.position > 5, names=frozenset(("b",))),
    ]


@given(st.data())
def test_an_inbox_gives_what_a_plain_list_gives(data: st.DataObject) -> None:
    inbox, plain = Inbox((), 0), PlainList()
    waits, taken, position = searches(), list[Message](), 0
    for _ in range(data.draw(st.integers(1, 60))):
        match data.draw(st.sampled_from(["add", "add", "add", "take", "take", "new", "back"])):
            case "add":
                position += data.draw(st.integers(1, 2))
                message = letter(position, data.draw(st.sampled_from(TYPES)), sent_at=position)
                assert inbox.add(message)
                plain.messages.append(message)
            case "take":
                search = data.draw(st.sampled_from(waits))
                expected = plain.take(search)
                assert inbox.take(search) == expected
                taken += [expected] if expected else []
            case "new":
                waits = searches()
            case _:
                inbox.give_back(taken)
                plain.messages += taken
                taken = []
        assert len(inbox) == len(plain.messages)


def test_a_message_that_was_seen_is_not_taken_in_again() -> None:
    inbox = Inbox([letter(2)], 2)
    assert not inbox.add(letter(2))
    assert not inbox.add(letter(1))
    assert inbox.take(Search(lambda _: True)) == letter(2)
    assert not inbox.add(letter(2))


def test_what_was_consumed_before_the_claim_comes_back_by_a_race_alone() -> None:
    """Else a message that is read meanwhile and given back by the race would be there twice."""
    inbox = Inbox([letter(2)], 3)
    assert not inbox.add(letter(3))
    inbox.give_back([letter(3)])
    assert [inbox.take(Search(lambda _: True)) for _ in range(3)] == [letter(2), letter(3), None]
    assert inbox.add(letter(4))


def test_messages_of_the_engine_are_found_by_their_keys_alone() -> None:
    inbox = Inbox([letter(1, "~c")], 1)
    assert inbox.take(Search(lambda _: True)) is None
    assert inbox.take(Search(lambda _: True, of_type=lambda _: True)) is None
    assert inbox.holds("~1")
    assert inbox.take_named("~2") is None
    assert inbox.take_named("~1") == letter(1, "~c")
    assert not inbox.holds("~1")


def test_an_empty_inbox_holds_nothing_on_to() -> None:
    inbox = Inbox([letter(1), letter(2, "~c")], 2)
    inbox.take(Search(lambda _: True))
    inbox.take_named("~2")
    assert (inbox._lanes, inbox._of_engine) == (None, None)


# each message is looked at once


def test_a_wait_looks_at_each_message_once_however_often_it_is_woken() -> None:
    inbox, asked = Inbox((), 0), Asked(lambda message: message.position == MANY)
    search = Search(asked)
    for position in range(1, MANY):
        inbox.add(letter(position))
        assert inbox.take(search) is None
    inbox.add(letter(MANY))
    assert inbox.take(search) == letter(MANY)
    assert asked.times == MANY


def test_one_who_takes_all_looks_at_each_message_once() -> None:
    inbox, asked = Inbox([letter(position) for position in range(1, MANY + 1)], MANY), Asked()
    search = Search(asked)
    assert sum(inbox.take(search) is not None for _ in range(MANY)) == MANY
    assert asked.times == MANY


def test_waits_after_each_other_pass_by_what_they_cannot_want() -> None:
    others = [letter(position, "b") for position in range(1, MANY + 1)]
    inbox, asked, asked_of = Inbox(others, MANY), Asked(), list[str]()

    def is_a(type: str) -> bool:
        asked_of.append(type)
        return type == "a"

    for position in range(MANY + 1, 2 * MANY + 1):
        inbox.add(letter(position))
        assert inbox.take(Search(asked, of_type=is_a)) is not None
    assert asked.times == MANY
    assert len(asked_of) == 2 * MANY
    assert len(inbox) == MANY


def test_gone_messages_are_not_walked_over_again_and_again() -> None:
    """Taken from behind first, and then from the front: what is gone must not add up."""
    inbox = Inbox([letter(position) for position in range(1, MANY + 1)], MANY)
    last_half = Search(lambda message: message.position > MANY // 2)
    for _ in range(MANY // 4):
        inbox.take(last_half)
    (lane,) = (inbox._lanes or {}).values()
    looked = 0
    for _ in range(MANY // 2):
        before = lane._begin
        assert inbox.take(Search(lambda _: True)) is not None
        looked += abs(lane._begin - before)
    assert looked <= 2 * MANY
    assert len(lane._positions) <= 2 * len(lane) + 40
