"""A gather that is refused because its flow leaves memory forgets no branch."""

import asyncio
import gc

from tests.flows.apps import Apps, Gate
from unbroken import capture, flow, gather


async def give(value: int) -> int:
    return value


async def test_branches_of_a_refused_gather_are_closed_without_a_warning(apps: Apps) -> None:
    before = Gate()

    @flow
    async def gathering() -> int:
        await before.pass_through()
        first, second = await gather(capture("a", give, 1), give(2))
        return first + second

    app = apps()
    flows = app.register(gathering)
    await app.start()
    await flows.schedule("one")
    await before.reached()
    stopping = asyncio.create_task(app.stop())
    await asyncio.sleep(0)
    before.open()
    await stopping
    gc.collect()  # a forgotten coroutine warns when it goes, and a warning is an error here
