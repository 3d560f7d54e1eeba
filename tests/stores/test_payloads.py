"""Ids and bodies: whatever text is allowed comes back exactly, and equal texts only are equal."""

import json

import pytest

from tests.stores.driver import Driver, effect, note
from unbroken.model.records import Delivery
from unbroken.stores.batch import Append

HOSTILE = {
    "blank": " ",
    "trailing space": "x ",
    "quotes": "'\"`",
    "comment": "a'; --",
    "wildcards": "%_*?[a-z]",
    "backslash": "\\x\\",
    "newline": "a\nb\r\t",
    "right to left": "\u202egnp.exe",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈",
    "astral": "\U0010fffd\U00010000",
    "path": "../../etc/passwd",
    "markup": "<script>alert(1)</script>",
    "longest": "x" * 255,
    "longest astral": "\U0001f600" * 255,
    "upper": "STRASSE",
    "lower": "strasse",
    "sharp": "straße",
    "composed": "é",
    "decomposed": "e\u0301",
    "json": '["a",{"b":1}]',
    "parameter": ":type ?1 $1 {0} %s",
    "number": "0001",
    "another number": "1",
    "zero width": "\u200b",
    "controls": "\x01\x1f\x7f",
}

BODIES = {
    "empty": "",
    "null": "null",
    "escaped nul": '"\\u0000"',
    "raw controls": "".join(map(chr, range(1, 32))),
    "every plane": "\ud7ff\ue000\uffff\U00010000\U0010ffff",
    "number": "12345678901234567890.10",
    "deep": "[" * 2000 + "]" * 2000,
    "binary in base64": json.dumps("AP8A" * 100_000),
    "two megabytes": json.dumps("é" * 1_000_000),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_text_works_wherever_an_id_stands(me: Driver, text: str) -> None:
    flow = await me.run(text, type=text)
    assert (await me.send(text, text, type=text)).deliveries == (Delivery.ACCEPTED,)
    assert (await me.send(text, text, type=text)).deliveries == (Delivery.DUPLICATE,)
    assert await me.record(effect(flow, text, consumes=(1,))) == frozenset()
    assert await me.record(effect(flow, f"{text}.1"), effect(flow, f"{text}x")) == frozenset()
    assert await me.record(effect(flow, f"{text}y"), effect(flow, text)) == {1}
    await me.release(flow)
    (claimed,) = (await me.claim(text)).claimed
    assert claimed.flow.id == claimed.flow.type == text
    assert {one.key for one in claimed.effects} == {text, f"{text}.1", f"{text}x", f"{text}y"}
    assert (await me.store.poll("me", [text], [])).next_due is None
    (listed,) = await me.store.list_flows(text, (), 0, 9)
    assert listed.flow == flow
    await me.end(flow, incarnation=2)
    assert await me.store.delete_flow(text, text)


async def test_texts_that_only_look_alike_are_different_ids(me: Driver) -> None:
    texts = [*HOSTILE.values(), "x", "X ", " x", "A'; --"]
    for text in texts:
        assert (await me.start(text)).created, text
    for text in texts:
        outcome = await me.store.find("t", text)
        assert outcome is not None
        assert outcome.flow.id == text


async def test_a_replica_id_may_be_hostile_too(me: Driver) -> None:
    for text in HOSTILE.values():
        await me.store.register(text)
        driver = Driver(me.store, text)
        flow = await driver.run(f"by {text}"[:255])
        assert await me.store.owned(text) == {flow.number: 1}
        await driver.release(flow)
        await driver.commit(last=True)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_body_comes_back_exactly(me: Driver, body: str) -> None:
    flow = await me.run("f", param=body)
    await me.record(effect(flow, "e", body))
    await me.commit(changes=(Append("t", "f", (note("m", body),)),))
    (loaded,) = await me.store.load("me", (flow.number,))
    assert loaded.param == loaded.effects[0].body == loaded.messages[0].body == body
    assert (await me.start("f", param=body)).same_param
    assert not (await me.start("f", param=body + " ")).same_param
    await me.end(flow, body=body, error=body)
    outcome = await me.store.find("t", "f")
    assert outcome is not None
    assert outcome.body == outcome.error == body


async def test_a_long_history_comes_back_whole(me: Driver) -> None:
    flow = await me.run("f")
    keys = [f"effect {number:05}" for number in range(5000)]
    await me.record(*(effect(flow, key, key) for key in keys))
    (loaded,) = await me.store.load("me", (flow.number,))
    assert sorted(one.key for one in loaded.effects) == keys
    assert all(one.body == one.key for one in loaded.effects)
