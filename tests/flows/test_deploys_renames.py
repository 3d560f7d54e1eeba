"""Effects under another name: found by their aliases, asked for, and never begun twice unsaid."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import LEASE, Apps, Gate, events_of, names_of, row, stored_effects
from unbroken import (
    ConfigurationError,
    EffectInterrupted,
    FlowParked,
    Retry,
    Status,
    capture,
    current_flow,
    effect,
    flow,
    gather,
    message,
    saga,
)
from unbroken.engine.events import Event

SECOND = timedelta(seconds=1)
Code = Callable[[], Any]


def deployed(code: Code) -> Any:
    return flow(name="deployed")(code)


async def start_and_stop(shared: Apps, code: Code) -> None:
    app = shared()
    flows = app.register(deployed(code))
    async with app:
        await flows.schedule("1")
        await shared.clock.settle()


async def go_on(shared: Apps, code: Code) -> tuple[Any, list[Event]]:
    """Deploy other code, let the flow end, and give its result and what the app told."""
    app = shared()
    told = events_of(app)
    flows = app.register(deployed(code))
    async with app:
        await shared.clock.settle()
        await flows.send_message("1", "go")
        return await flows.completion("1"), told


async def park(shared: Apps, code: Code) -> str:
    """Deploy code that does not fit, and give the text of the error."""
    with pytest.raises(FlowParked) as parked:
        await go_on(shared, code)
    return str(parked.value)


class Shop:
    """Effects that note what ran; `once` and `again` make them, under the names of their choice."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def once(self, name: str, *about: object, aliases: Sequence[str] | None = None) -> Any:
        work = effect(self._body(name), at_most_once=True, aliases=aliases)
        return capture(name, work, *about)

    def again(self, name: str, *about: object, aliases: Sequence[str] | None = None) -> Any:
        return capture(name, effect(self._body(name), aliases=aliases), *about)

    def _body(self, name: str) -> Callable[..., Any]:
        async def body(*_: object) -> str:
            self.ran.append(name)
            return f"result of {name}"

        return body


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def test_a_renamed_effect_without_alias_runs_and_an_event_asks(
    shared: Apps, shop: Shop
) -> None:
    async def before() -> None:
        await shop.again("reserve", "order 7")
        await message(str)

    async def after() -> str:
        result: str = await shop.again("book", "order 7")
        await message(str)
        return result

    await start_and_stop(shared, before)
    result, told = await go_on(shared, after)
    assert result == "result of book"
    (event,) = [event for event in told if event.name == "effect.renamed"]
    assert "did 'reserve' become 'book'?" in event.text
    assert "aliases=['reserve']" in event.text


@pytest.mark.parametrize(
    ("former", "new", "aliases"),
    [
        ("order 7", "order 8", None),
        ("order 7", "order 7", []),
        ("order 7", "order 7", ["another"]),
        (lambda: None, lambda: None, None),
    ],
    ids=["other arguments", "said to be new", "said to be another", "no form to compare"],
)
async def test_what_is_no_rename_as_far_as_one_can_tell_asks_nothing(
    shared: Apps, shop: Shop, former: object, new: object, aliases: Sequence[str] | None
) -> None:
    async def before() -> None:
        await shop.again("reserve", former)
        await message(str)

    async def after() -> None:
        await shop.again("book", new, aliases=aliases)
        await message(str)

    await start_and_stop(shared, before)
    _, told = await go_on(shared, after)
    assert "effect.renamed" not in names_of(told)


async def test_the_same_rename_is_asked_for_once_in_an_app(shared: Apps, shop: Shop) -> None:
    async def before() -> None:
        await shop.again("reserve", "order 7")
        await message(str)

    async def after() -> None:
        await shop.again("book", "order 7")
        await message(str)

    app = shared()
    flows = app.register(deployed(before))
    async with app:
        for id in "123":
            await flows.schedule(id)
        await shared.clock.settle()
    app = shared()
    told = events_of(app)
    flows = app.register(deployed(after))
    async with app:
        for id in "123":
            await flows.send_message(id, "go")
            await flows.completion(id)
    assert names_of(told).count("effect.renamed") == 1


async def test_code_that_did_not_change_asks_nothing_and_leaves_nothing_out(
    shared: Apps, shop: Shop
) -> None:
    async def branch(name: str) -> None:
        await shop.once(name, "order 7")
        await shop.once(f"{name} too", "order 7")

    async def code() -> None:
        first, second = shop.once("first", "order 7"), shop.once("second", "order 7")
        await second
        await first
        await gather(branch("left"), branch("right"))
        await message(str)

    await start_and_stop(shared, code)
    _, told = await go_on(shared, code)
    assert not {"effect.renamed", "flow.unread_effects"} & set(names_of(told))
    assert len(shop.ran) == 6


async def test_a_renamed_at_most_once_effect_parks_the_flow_until_the_code_says_what_it_is(
    shared: Apps, shop: Shop
) -> None:
    async def before() -> None:
        await shop.once("ship", "order 7")
        await message(str)

    def after(aliases: Sequence[str] | None) -> Code:
        async def code() -> str:
            result: str = await shop.once("deliver", "order 7", aliases=aliases)
            await message(str)
            return result

        return code

    await start_and_stop(shared, before)
    text = await park(shared, after(None))
    assert "'ship'" in text
    assert "'deliver'" in text
    assert "aliases=['ship']" in text
    assert "aliases=[]" in text
    assert shop.ran == ["ship"]
    result, _ = await go_on(shared, after(["ship"]))
    assert result == "result of ship"
    assert shop.ran == ["ship"]


async def test_an_at_most_once_effect_that_is_said_to_be_new_runs_after_the_repair(
    shared: Apps, shop: Shop
) -> None:
    async def before() -> None:
        await shop.once("ship", "order 7")
        await message(str)

    def after(aliases: Sequence[str] | None) -> Code:
        async def code() -> None:
            await shop.once("insure", "order 7", aliases=aliases)
            await shop.once("ship", "order 7")
            await message(str)

        return code

    await start_and_stop(shared, before)
    await park(shared, after(None))
    await go_on(shared, after([]))
    assert shop.ran == ["ship", "insure"]


async def test_a_look_at_the_former_name_takes_nothing_from_the_new_one(
    shared: Apps, shop: Shop
) -> None:
    async def before() -> None:
        await shop.once("ship", "order 7")
        await message(str)

    async def after() -> tuple[bool, str]:
        has_shipped = current_flow().effects.contains("ship")
        result = await shop.once("deliver", "order 7", aliases=["ship"])
        await message(str)
        return has_shipped, result

    await start_and_stop(shared, before)
    result, _ = await go_on(shared, after)
    assert result == (True, "result of ship")
    assert shop.ran == ["ship"]


@pytest.mark.parametrize("about", ["order 7", lambda: None], ids=["the same", "no form"])
async def test_one_that_only_began_is_not_begun_under_another_name(
    shared: Apps, about: object
) -> None:
    gate, ran = Gate(), []

    @effect(at_most_once=True)
    async def ship(_: object) -> None:
        ran.append("ship")
        await gate.pass_through()

    def deliver(aliases: Sequence[str] | None) -> Code:
        @effect(at_most_once=True, aliases=aliases)
        async def deliver(_: object) -> None:
            ran.append("deliver")

        async def code() -> str:
            try:
                await deliver(about)
            except EffectInterrupted as interrupted:
                return interrupted.key
            return "delivered"

        return code

    async def before() -> None:
        await ship(about)

    _, hung_flows = await shared.hang(deployed(before))
    await hung_flows.schedule("1")
    await gate.reached()
    app = shared()
    flows = app.register(deployed(deliver(None)))
    async with app:
        await shared.clock.advance(LEASE + SECOND)
        with pytest.raises(FlowParked, match=r"aliases=\['ship'\]"):
            await flows.completion("1")
    assert (await go_on(shared, deliver(["ship"])))[0] == "ship"
    assert ran == ["ship"]


async def test_at_most_once_with_other_arguments_is_another_effect(
    shared: Apps, shop: Shop
) -> None:
    async def before() -> None:
        await shop.once("ship", "order 7")
        await message(str)

    async def after() -> None:
        await shop.once("insure", "order 7 for 100")
        await shop.once("ship", "order 7")
        await message(str)

    await start_and_stop(shared, before)
    _, told = await go_on(shared, after)
    assert shop.ran == ["ship", "insure"]
    assert "effect.renamed" not in names_of(told)


async def test_what_the_code_still_asks_for_is_no_former_name(shared: Apps, shop: Shop) -> None:
    async def before() -> None:
        await shop.once("ship", "order 7")
        await message(str)

    async def after() -> None:
        ship = shop.once("ship", "order 7")  # its key is taken: it will be asked for
        await shop.once("insure", "order 7")
        await ship
        await message(str)

    await start_and_stop(shared, before)
    await go_on(shared, after)
    assert shop.ran == ["ship", "insure"]


async def test_a_flow_that_is_tried_again_may_go_another_way(shared: Apps, shop: Shop) -> None:
    tries: list[int] = []

    def charge() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise LookupError

    @flow(retry=Retry(2, initial_delay=SECOND))
    async def order_flow() -> None:
        try:
            await capture(charge)
        except LookupError:
            await shop.once("refund", "order 7")
            raise
        await shop.once("ship", "order 7")

    app = shared()
    flows = app.register(order_flow)
    async with app:
        scheduled = await flows.schedule("1")
        await shared.clock.advance(2 * SECOND)
        await scheduled.completion()
    assert shop.ran == ["refund", "ship"]


async def test_a_former_name_in_another_scope_is_another_effect(shared: Apps, shop: Shop) -> None:
    async def before() -> None:
        await shop.once("ship", "order 7")
        await message(str)

    async def after() -> None:
        await gather(shop_in_branch(), message(str))

    async def shop_in_branch() -> None:
        await shop.once("insure", "order 7")

    await start_and_stop(shared, before)
    app = shared()
    flows = app.register(deployed(after))
    async with app:
        await flows.send_message("1", "go")
        await flows.completion("1")
    assert shop.ran == ["ship", "insure"]


async def test_an_alias_does_not_take_the_result_of_an_effect_that_still_lives(
    shared: Apps, shop: Shop
) -> None:
    async def code() -> list[str]:
        results = [await shop.again("ship"), await shop.again("deliver", aliases=["ship"])]
        await message(str)
        return results

    await start_and_stop(shared, code)
    result, _ = await go_on(shared, code)
    assert result == ["result of ship", "result of deliver"]
    assert shop.ran == ["ship", "deliver"]


async def test_two_effects_with_one_alias_do_not_share_a_result(shared: Apps, shop: Shop) -> None:
    async def before() -> None:
        await shop.again("ship")
        await message(str)

    async def after() -> list[str]:
        results = [
            await shop.again("pack", aliases=["ship"]),
            await shop.again("send", aliases=["ship"]),
        ]
        await message(str)
        return results

    await start_and_stop(shared, before)
    result, _ = await go_on(shared, after)
    assert result == ["result of ship", "result of send"]


async def test_an_undo_keeps_its_way_back_under_a_new_name(shared: Apps) -> None:
    ran: list[str] = []

    async def note(what: str) -> None:
        ran.append(what)

    def version(name: str, aliases: Sequence[str] | None) -> Code:
        async def code() -> None:
            try:
                async with saga() as block:
                    block.undo(name, effect(note, at_most_once=True, aliases=aliases), "undone")
                    raise LookupError("no room")
            except LookupError:
                await message(str)

        return code

    await start_and_stop(shared, version("cancel", None))
    assert ran == ["undone"]
    text = await park(shared, version("give back", None))
    assert "undo:cancel" in text
    await go_on(shared, version("give back", ["cancel"]))
    assert ran == ["undone"]


async def test_a_kind_that_changed_parks_the_flow_until_a_deploy_fits(
    shared: Apps, shop: Shop
) -> None:
    async def before() -> str:
        result: str = await shop.again("message:str")
        await message(int)
        return result

    async def wrong() -> str:
        return await message(str)

    async def repaired() -> str:
        result: str = await shop.again("message:str")
        await message(str)
        return result

    await start_and_stop(shared, before)
    text = await park(shared, wrong)
    assert "a message" in text
    assert "a capture" in text
    client = shared(execute=False)
    client.register(deployed(wrong))
    async with client:
        assert (await row(client, "deployed", "1")).status is Status.PARKED
        assert stored_effects(client, "1") == {"message:str": "capture"}
    assert (await go_on(shared, repaired))[0] == "result of message:str"


async def test_a_repeated_name_with_shifted_arguments_goes_on_after_a_repaired_deploy(
    shared: Apps, shop: Shop
) -> None:
    def version(*items: str) -> Code:
        async def code() -> int:
            for item in items:
                await shop.again("ship", item)
            await message(str)
            return len(items)

        return code

    await start_and_stop(shared, version("a", "b", "c"))
    text = await park(shared, version("b", "c"))
    assert "'ship'" in text
    assert (await go_on(shared, version("a", "b", "c", "d")))[0] == 4
    assert shop.ran == ["ship"] * 4


async def test_what_was_recorded_and_not_asked_for_is_told_at_the_end(
    shared: Apps, shop: Shop
) -> None:
    async def before() -> None:
        await shop.again("reserve", "order 7")
        await shop.again("ship", "order 7")
        await message(str)

    async def after() -> None:
        await shop.again("ship", "order 7")
        await message(str)

    await start_and_stop(shared, before)
    _, told = await go_on(shared, after)
    (event,) = [event for event in told if event.name == "flow.unread_effects"]
    assert event.flow_id == "1"
    assert event.text.startswith("'reserve': recorded in an earlier incarnation")


async def test_a_look_at_an_effect_counts_as_asking_for_it(shared: Apps, shop: Shop) -> None:
    async def code() -> None:
        if not current_flow().effects.contains("reserve"):
            await shop.again("reserve")
        if current_flow().effects.try_get("ship", str) is None:
            await shop.again("ship")
        await message(str)

    await start_and_stop(shared, code)
    _, told = await go_on(shared, code)
    assert "flow.unread_effects" not in names_of(told)
    assert shop.ran == ["reserve", "ship"]


def test_aliases_are_a_list_of_names() -> None:
    with pytest.raises(ConfigurationError, match="give a list of names"):
        effect(print, aliases="ship")
