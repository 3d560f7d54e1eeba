"""Replies: kept with the message that asked, read by whoever asked, in or out of a poll."""

from typing import Any

import pytest

from tests.stores.conftest import HOLDS_ANY_BYTES, Door
from tests.stores.driver import Driver, effect
from unbroken.model.errors import StoreCorrupt
from unbroken.model.records import FlowRef, Reply
from unbroken.stores.batch import Also, Continue, Record
from unbroken.stores.store import Question

YES = Reply('"yes"', "str")
NO = Reply('{"type":"E"}', failed=True)


def reply_to(flow: FlowRef, position: int, reply: Reply = YES, **options: Any) -> Record:
    rare = Also(replies_to=position, reply=reply)
    return effect(flow, f"reply.{position}", also=rare, **options)


@pytest.mark.parametrize("reply", [YES, NO, Reply("")], ids=["yes", "no", "empty"])
async def test_a_reply_comes_back_as_it_was_given(me: Driver, reply: Reply) -> None:
    flow = await me.run("f")
    await me.send("f", "q", "another")
    await me.record(effect(flow, "wait", consumes=(1, 2)))
    question = Question(flow.number, "q")
    assert await me.store.read_reply(question) is None
    await me.record(reply_to(flow, 1, reply))
    assert await me.store.read_reply(question) == reply
    assert await me.store.read_reply(Question(flow.number, "another")) is None


async def test_a_question_may_be_consumed_and_answered_at_once(me: Driver) -> None:
    flow = await me.run("f")
    await me.send("f", "q")
    await me.record(reply_to(flow, 1, consumes=(1,)))
    assert await me.store.read_reply(Question(flow.number, "q")) == YES
    assert await me.inbox(flow) == ()


async def test_absent_flows_and_messages_have_no_reply(me: Driver) -> None:
    flow = await me.run("f")
    assert await me.store.read_reply(Question(flow.number, "q")) is None
    assert await me.store.read_reply(Question(10**9, "q")) is None


async def test_a_poll_says_what_was_answered(me: Driver, other: Driver) -> None:
    flow, silent = await me.run("f"), await me.run("g")
    await other.send("f", "q", "r")
    await other.send("g", "q")
    asked = [Question(flow.number, "q"), Question(flow.number, "r"), Question(silent.number, "q")]
    assert (await me.store.poll("other", [], [], asked)).answered == ()
    await me.record(reply_to(flow, 1), reply_to(flow, 2, NO))
    answered = (await me.store.poll("other", ["t"], [], asked)).answered
    assert dict(answered) == {asked[0]: YES, asked[1]: NO}
    assert (await me.store.poll("other", ["t"], [])).answered == ()


async def test_a_refused_record_answers_nothing(me: Driver, other: Driver) -> None:
    flow = await me.run("f")
    await me.send("f", "q")
    assert await other.record(reply_to(flow, 1)) == {0}
    assert await me.store.read_reply(Question(flow.number, "q")) is None


async def test_a_reply_outlives_the_end_of_its_flow_and_not_its_deletion(me: Driver) -> None:
    flow = await me.run("f")
    await me.send("f", "q")
    await me.record(reply_to(flow, 1, consumes=(1,)))
    await me.end(flow)
    question = Question(flow.number, "q")
    assert await me.store.read_reply(question) == YES
    await me.store.delete_flow("t", "f")
    assert await me.store.read_reply(question) is None
    assert (await me.store.poll("me", [], [], [question])).answered == ()


async def test_a_reply_ages_with_its_message(me: Driver) -> None:
    flow = await me.run("f")
    await me.send("f", "q")
    await me.record(reply_to(flow, 1, consumes=(1,)))
    question = Question(flow.number, "q")
    await me.change(Continue(flow, 1, "{}"))
    assert await me.store.read_reply(question) == YES
    await me.change(Continue(flow, 2, "{}"))
    assert await me.store.read_reply(question) is None


@pytest.mark.parametrize("key", ["0001", '["a"]', "'\"`", "%_*?[a-z]", "👩‍👩‍👧‍👦", "null", " x "])
async def test_a_question_with_a_hostile_key_is_found(me: Driver, key: str) -> None:
    flow = await me.run("f")
    await me.send("f", key)
    await me.record(reply_to(flow, 1))
    question = Question(flow.number, key)
    assert await me.store.read_reply(question) == YES
    assert (await me.store.poll("me", [], [], [question])).answered == ((question, YES),)


@HOLDS_ANY_BYTES
async def test_a_reply_that_cannot_be_read_does_not_spoil_the_poll(me: Driver, door: Door) -> None:
    bad, good = await me.run("bad"), await me.run("good")
    for flow in (bad, good):
        await me.send(flow.id, "q")
        await me.record(reply_to(flow, 1))
    await me.start("due")
    door.damage_text(bad, "messages.reply")
    asked = [Question(bad.number, "q"), Question(good.number, "q")]
    poll = await me.store.poll("me", ["t"], [good.number], asked)
    assert poll.next_due is not None
    answered = dict(poll.answered)
    assert answered[asked[1]] == YES
    assert answered[asked[0]].failed
    assert "cannot be read" in answered[asked[0]].body
    with pytest.raises(StoreCorrupt):
        await me.store.read_reply(asked[0])
