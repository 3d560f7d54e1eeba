"""A flow that holds a lock for an hour, what it leaves behind, and who stands in the queue."""

from datetime import timedelta

from unbroken import Unbroken, capture, current_flow, flow, lock, sleep

HOUR = timedelta(hours=1)

trail: list[str] = []


async def note(what: str) -> None:
    trail.append(f"{what} {current_flow().id}")


@flow
async def guarded() -> None:
    async with lock("x"):
        await capture("in", note, "in")
        await sleep(HOUR)
        await capture("out", note, "out")


async def standing(app: Unbroken, name: str = "x") -> list[str]:
    """Give who stands in the queue, holders in capitals."""
    queue = app.queue(name)
    holders = [one.flow_id.upper() for one in await queue.holders()]
    return holders + [one.flow_id for one in await queue.waiting()]
