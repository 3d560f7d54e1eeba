"""Messages that arrive just when a flow leaves memory, or while it is read again, are not lost."""

import asyncio

import msgspec

from tests.crash.crashing_store import DelegatingStore, put_before
from tests.flows.apps import AT_ONCE, Gate
from unbroken import Unbroken, flow, message
from unbroken.model.records import Claimed
from unbroken.stores.batch import Append, Batch, Receipt
from unbroken.stores.store import Store
from unbroken.testing import VirtualClock


class Paid(msgspec.Struct, frozen=True):
    amount: int


class SlowAnswers(DelegatingStore):
    """Lets the test hold back the answer to an append, and that to a second reading of a flow."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.append = Gate()
        self.again = Gate()
        self.again.open()

    async def commit(self, batch: Batch) -> Receipt | None:
        receipt = await self.inner.commit(batch)
        if any(isinstance(change, Append) for change in batch.changes):
            await self.append.pass_through()
        return receipt

    async def load(self, replica: str, numbers: object) -> tuple[Claimed, ...]:
        found = await self.inner.load(replica, numbers)  # pyright: ignore[reportArgumentType]
        await self.again.pass_through()
        return found


class Slow:
    """An app whose store answers when the test says so, and a flow that waits when it may."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.app = Unbroken("sqlite://", clock=self.clock)
        put_before(self.app, self._wrapped)
        self.about_to_wait = about_to_wait = Gate()
        self.leaving = leaving = Gate()

        @flow
        async def payments(count: int) -> list[int]:
            await about_to_wait.pass_through()
            try:
                paid = [(await message(Paid, suspend_after=AT_ONCE)).amount]
                while len(paid) < count:
                    paid.append((await message(Paid)).amount)
                return paid
            finally:
                await leaving.pass_through()

        self.flows = self.app.register(payments)

    def _wrapped(self, store: Store) -> Store:
        self.store = SlowAnswers(store)
        return self.store


async def test_a_message_that_is_answered_for_after_the_seal_wakes_the_flow() -> None:
    slow = Slow()
    async with slow.app:
        flow_ = await slow.flows.schedule("one", 1)
        await slow.about_to_wait.reached()
        sending = asyncio.create_task(slow.flows.send_message("one", Paid(7)))
        await slow.store.append.reached()
        slow.about_to_wait.open()
        await slow.leaving.reached()  # sealed, and not suspended yet
        slow.store.append.open()
        await sending
        slow.leaving.open()
        result = asyncio.create_task(flow_.completion())
        await slow.clock.run_until(result)
        assert result.result() == [7]


async def test_a_message_that_comes_while_a_moved_flow_is_read_again_reaches_it_in_memory() -> None:
    slow = Slow()
    slow.store.again = Gate()
    async with slow.app:
        flow_ = await slow.flows.schedule("one", 2)
        await slow.about_to_wait.reached()
        sending = asyncio.create_task(slow.flows.send_message("one", Paid(7)))
        await slow.store.append.reached()
        slow.about_to_wait.open()
        slow.leaving.open()
        slow.store.append.open()
        await slow.store.again.reached()  # its suspension was refused; what is read is on its way
        await slow.flows.send_message("one", Paid(8))
        begin = slow.clock.now()
        slow.store.again.open()
        result = asyncio.create_task(flow_.completion())
        await slow.clock.run_until(result)
        assert result.result() == [7, 8]
        assert slow.clock.now() == begin
        await sending
