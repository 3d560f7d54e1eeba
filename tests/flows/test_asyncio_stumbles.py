"""What users trip over: threads that hang, generic flows, data that moved, blocks that unwind."""

import asyncio
import enum
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

import pytest

from tests.flows.apps import AT_ONCE, Apps, Gate, events_of, jump, names_of, stored_effects, until
from unbroken import (
    EffectInterrupted,
    FlowParked,
    RegistrationError,
    Unbroken,
    capture,
    effect,
    flow,
    message,
    sleep,
)
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
T = TypeVar("T")


# a plain function cannot be stopped


class Slow:
    """A plain function that stands until it is let go."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()

    def work(self) -> str:
        self.begun.set()
        self.may_end.wait(30)
        return "late"


async def test_a_thread_that_hangs_after_its_time_out_is_told(
    apps: Apps, clock: VirtualClock
) -> None:
    slow = Slow()

    @flow
    async def limited() -> str:
        try:
            return await effect(slow.work, timeout=SECOND)()
        except TimeoutError:
            return "timed out"

    app = apps()
    told = events_of(app)
    flows = app.register(limited)
    async with app:
        scheduled = await flows.schedule("1")
        await until(slow.begun.is_set)
        await jump(clock, SECOND)
        assert await scheduled.completion() == "timed out"
        slow.may_end.set()
    (event,) = [event for event in told if event.name == "effect.stuck_thread"]
    assert "'work'" in event.text


async def test_an_at_most_once_thread_that_hangs_has_an_unknown_outcome(
    shared: Apps, clock: VirtualClock
) -> None:
    slow = Slow()
    ran: list[str] = []

    @effect(at_most_once=True, timeout=SECOND)
    def fire() -> str:
        ran.append("fire")
        return slow.work()

    @flow
    async def limited() -> str:
        try:
            fired = await fire()
        except EffectInterrupted as interrupted:
            fired = f"unknown: {interrupted.key}"
        await message(str)
        return fired

    app = shared()
    flows = app.register(limited)
    async with app:
        await flows.schedule("1")
        await until(slow.begun.is_set)
        await jump(clock, SECOND)
        slow.may_end.set()
        await clock.settle()
        assert stored_effects(app, "1")["fire"] == "once"
    app = shared()
    flows = app.register(limited)
    async with app:
        await flows.send_message("1", "go")
        assert await flows.completion("1") == "unknown: fire"
    assert ran == ["fire"]


async def test_a_coroutine_that_takes_too_long_at_most_once_has_timed_out(
    apps: Apps, clock: VirtualClock
) -> None:
    gate = Gate()

    @effect(at_most_once=True, timeout=SECOND)
    async def fire() -> None:
        await gate.pass_through()

    @flow
    async def limited() -> str:
        try:
            await fire()
        except TimeoutError:
            return "timed out"
        return "fired"

    app = apps()
    told = events_of(app)
    flows = app.register(limited)
    async with app:
        scheduled = await flows.schedule("1")
        await gate.reached()
        await jump(clock, SECOND)
        assert await scheduled.completion() == "timed out"
    assert "effect.stuck_thread" not in names_of(told)


# flows whose data has no class


async def generic(value: T) -> T:
    return value


async def generic_inside(values: list[T]) -> int:
    return len(values)


class GenericFlow(Generic[T]):
    async def run(self, value: T) -> None: ...


@pytest.mark.parametrize(
    "definition", [generic, generic_inside, GenericFlow], ids=lambda d: d.__name__
)
def test_a_generic_flow_is_refused_at_registration(definition: Any) -> None:
    with pytest.raises(RegistrationError, match=r"is generic: .* Name the classes"):
        Unbroken("sqlite://").register(flow(definition))


@dataclass
class Box(Generic[T]):
    content: T


async def test_a_generic_class_that_is_filled_in_is_fine(apps: Apps) -> None:
    @flow
    async def opening(box: Box[int]) -> Box[str]:
        return Box(str(box.content))

    app = apps()
    flows = app.register(opening)
    async with app:
        assert await flows.run("1", Box(7)) == Box("7")


# data that does not fit any more


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class ColorWithoutRed(enum.Enum):
    BLUE = "blue"


@dataclass
class Item:
    color: Color


@dataclass
class ItemOfLess:
    color: ColorWithoutRed


@dataclass
class ItemOfText:
    color: str


@dataclass
class ItemOfNumber:
    color: int


def version(item: type[Any]) -> Any:
    async def deployed() -> str:
        def load() -> Any:
            return Item(Color.RED)

        load.__annotations__["return"] = item
        loaded = await capture(load)
        await message(str)
        return str(loaded.color)

    return flow(name="deployed")(deployed)


@pytest.mark.parametrize(
    ("misfit", "both_sides"),
    [
        (ItemOfLess, "expected ItemOfLess, found invalid enum value"),
        (ItemOfNumber, "expected int, found str"),
    ],
    ids=["removed enum member", "changed type"],
)
async def test_data_that_does_not_fit_parks_the_flow_until_a_deploy_fits(
    shared: Apps, misfit: type[Any], both_sides: str
) -> None:
    async def deploy(item: type[Any]) -> Any:
        app = shared()
        flows = app.register(version(item))
        async with app:
            await flows.send_message("1", "go")
            await shared.clock.settle()
            return await flows.completion("1")

    app = shared()
    flows = app.register(version(Item))
    async with app:
        await flows.schedule("1")
        await shared.clock.settle()
    with pytest.raises(FlowParked) as parked:
        await deploy(misfit)
    assert "$.color" in str(parked.value)
    assert both_sides in str(parked.value)
    assert await deploy(ItemOfText) == "red"


# objects of its own


async def test_the_instance_of_a_method_is_neither_stored_nor_compared(
    apps: Apps, clock: VirtualClock
) -> None:
    class Shop:
        def __init__(self) -> None:
            self.lock = threading.Lock()  # cannot be stored

        @effect
        async def sell(self, what: str) -> str:
            return f"sold {what}"

        async def give(self, what: str) -> str:
            return f"gave {what}"

    @flow
    async def selling() -> list[str]:
        shop = Shop()
        done = [await shop.sell("tea"), await capture(shop.give, "milk")]
        await sleep(HOUR)
        return done

    app = apps(suspend_after=AT_ONCE)
    told = events_of(app)
    flows = app.register(selling)
    async with app:
        scheduled = await flows.schedule("1")
        await clock.advance(HOUR)
        assert await scheduled.completion() == ["sold tea", "gave milk"]
    assert "effect.arguments_changed" not in names_of(told)


# what runs at every suspension


class Connection:
    def __init__(self, said: list[str]) -> None:
        self._said = said

    async def __aenter__(self) -> None:
        self._said.append("open")

    async def __aexit__(self, *error: object) -> None:
        await asyncio.sleep(0)
        self._said.append("close")


async def test_async_with_and_finally_run_at_every_suspension_but_effects_in_them_at_the_end(
    apps: Apps, clock: VirtualClock
) -> None:
    said: list[str] = []

    def note(text: str) -> None:
        said.append(text)

    @flow
    async def careful() -> None:
        async with Connection(said):
            try:
                await sleep(HOUR)
            finally:
                said.append("plain")
                await capture(note, "captured")

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(careful)
    async with app:
        scheduled = await flows.schedule("1")
        await clock.advance(HOUR)
        await scheduled.completion()
    assert said == ["open", "plain", "close", "open", "plain", "captured", "close"]


async def test_blocks_of_the_standard_library_around_a_wait_are_left_and_entered_again(
    apps: Apps, clock: VirtualClock
) -> None:
    lock = asyncio.Lock()
    entered: list[bool] = []

    @flow
    async def locking() -> bool:
        async with lock:
            entered.append(lock.locked())
            await sleep(HOUR)
        return lock.locked()

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(locking)
    async with app:
        scheduled = await flows.schedule("1")
        await clock.settle()
        assert not lock.locked()
        await clock.advance(HOUR)
        assert await scheduled.completion() is False
    assert entered == [True, True]
