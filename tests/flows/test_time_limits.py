"""Time limits of effects: a body that takes too long is cut, or its result dropped."""

from datetime import timedelta

from tests.flows.apps import AT_ONCE, Apps, Gate, jump
from unbroken import Retry, effect, flow
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)


async def test_a_body_that_takes_too_long_is_cut_and_raises_timeout_error(
    apps: Apps, clock: VirtualClock
) -> None:
    gate, cut = Gate(), []

    @effect(timeout=SECOND)
    async def call() -> None:
        try:
            await gate.pass_through()
        finally:
            cut.append(clock.monotonic())

    @flow
    async def calling() -> str:
        try:
            await call()
        except TimeoutError as error:
            return str(error)
        return "in time"

    app = apps()
    flows = app.register(calling)
    async with app:
        scheduled = await flows.schedule("a")
        await gate.reached()
        await jump(clock, SECOND)
        assert "took longer than 1 s" in await scheduled.completion()
    assert cut == [1]


async def test_a_timeout_counts_as_a_failed_attempt(apps: Apps, clock: VirtualClock) -> None:
    gate, tries = Gate(), []

    @effect(timeout=SECOND, retry=Retry(3, initial_delay=AT_ONCE))
    async def call() -> int:
        tries.append(1)
        if len(tries) == 1:
            await gate.pass_through()
        return len(tries)

    @flow
    async def calling() -> int:
        return await call()

    app = apps()
    flows = app.register(calling)
    async with app:
        scheduled = await flows.schedule("a")
        await gate.reached()
        await jump(clock, SECOND)
        assert await scheduled.completion() == 2
