"""Every example as a scenario: what its user does, and what must be so in its world."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import msgspec

from tests.crash.ledger import Line
from tests.simulation.sweep.examples import (
    all_of,
    at_most_once,
    call,
    calls,
    calls_in,
    example,
    one_id_each,
    scenario,
    silent,
)
from tests.simulation.sweep.scenario import Scenario, Use, User
from unbroken import FlowFailed, FlowMoved

ORDER = "MK-1"
INTERRUPTED = "EffectInterrupted"
SOON = timedelta(milliseconds=10)


def started(id: str, *args: object) -> Use:
    """Start one flow and wait for its end."""

    async def use(user: User) -> None:
        (handle,) = user.handles
        scheduled = await handle.schedule(id, *args)
        await user.ended(handle, id, scheduled.completion())

    return use


# messages


def approval() -> Scenario:
    module = example("approval")

    async def use(user: User) -> None:
        (handle,) = user.handles
        asked = await handle.schedule("E-1")
        inbox = handle.message_writer("E-1")
        for _ in range(2):
            await inbox.append(module.Approved("bob"), key="approved by bob")
        await user.ended(handle, "E-1", asked.completion())

    return scenario("approval", [(module.expense_flow,)], use)


def bus_handlers() -> Scenario:
    module = example("bus_handlers")
    lines = list(module.Bus.lines)

    async def use(user: User) -> None:
        (parcels,) = user.handles
        await parcels.bulk_schedule(parcels.prepare(parcel) for parcel in module.PARCELS)
        for batch in (lines[:4], lines[4:8]):
            await module.handle_batch(parcels, batch)
        await module.handle(parcels, lines[8])
        for parcel in module.PARCELS:
            await user.ended(parcels, parcel, parcels.completion(parcel))

    return scenario("bus_handlers", [(module.parcel_flow,)], use)


def order_messages() -> Scenario:
    module = example("order_messages")

    class Bus:
        async def publish(self, command: str, order: str, payment: UUID) -> None:
            call(f"{command} {order} {payment}")

    async def use(user: User) -> None:
        (orders,) = user.handles
        scheduled = await orders.schedule(ORDER, module.Order(ORDER, "a book"))
        for command in ("reserve-funds", "ship-products", "take-funds"):
            line = await said(user, command)
            answer = module.answer_to(command, UUID(line.split()[-1]))
            await orders.send_message(ORDER, answer, key=line)
        await user.ended(orders, ORDER, scheduled.completion())

    judge = one_id_each("reserve-funds", "ship-products", "take-funds")
    flows = [(module.OrderFlow, lambda: module.OrderFlow(Bus()))]
    return scenario("order_messages", flows, use, judge=judge)


async def said(user: User, beginning: str) -> str:
    """Wait until the outside world is asked for something, and give how."""
    await user.stage.until(lambda: any(one.startswith(beginning) for one in calls()))
    return next(one for one in calls() if one.startswith(beginning))


def two_messages() -> Scenario:
    module = example("two_messages")

    async def use(user: User) -> None:
        patient, hurried = user.handles
        first = await patient.schedule("MK-1")
        second = await hurried.schedule("MK-2", timedelta(seconds=3))
        await patient.send_message("MK-1", module.InventoryLocked(7), key="warehouse")
        await hurried.send_message("MK-2", module.FundsReserved("payment 1"), key="bank")
        await patient.send_message("MK-1", module.FundsReserved("payment 2"), key="bank")
        await user.ended(patient, "MK-1", first.completion())
        # The limit is a short one: what comes too late is not told.
        await user.ended(hurried, "MK-2", second.completion(), part="in time")

    flows = [(module.patient_flow,), (module.hurried_flow,)]
    return scenario("two_messages", flows, use, volatile=("in time",))


def user_registration() -> Scenario:
    module = example("user_registration")

    async def use(user: User) -> None:
        (registrations,) = user.handles
        scheduled = await registrations.schedule("ann", "ann")
        secret = UUID((await said(user, "verify")).split()[-1])
        await registrations.send_message("ann", module.EmailVerified(secret), key="click")
        await user.ended(registrations, "ann", scheduled.completion())

    judge = one_id_each("register", "verify", "activate")
    return scenario("user_registration", [(module.registration,)], use, judge=judge, note=call)


def order_flow_test() -> Scenario:
    module = example("order_flow_test")

    class World:
        async def take(self, transaction: UUID, amount: int) -> None:
            call(f"take {amount} {transaction}")

        async def send(self, customer: str, text: str) -> None:
            call(f"send {text}")

    async def use(user: User) -> None:
        (orders,) = user.handles
        scheduled = await orders.schedule(ORDER, "ann", 20)
        await orders.send_message(ORDER, module.Shipped("TRACK-1"), key="post")
        await user.ended(orders, ORDER, scheduled.completion())

    flows = [(module.OrderFlow(World(), World()),)]
    return scenario("order_flow_test", flows, use, judge=one_id_each("take", "send"))


# calls


def money_transfer() -> Scenario:
    module = example("money_transfer")

    class Bank(module.Bank):
        def add(self, line: str) -> None:
            call(line)

    def judge(lines: Sequence[Line]) -> list[str]:
        bank: Any = Bank()
        bank.book = SimpleNamespace(read_text=lambda: "\n".join(calls_in(lines)))
        balances = bank.balances()
        wanted = {"ann": Decimal(-100), "bob": Decimal(100)}
        return [] if balances == wanted else [f"world: the balances are {balances}"]

    async def use(user: User) -> None:
        (transfers,) = user.handles
        for id, target, amount in (("T-1", "bob", 100), ("T-2", "closed", 50)):
            scheduled = await transfers.schedule(id, "ann", target, Decimal(amount))
            await user.ended(transfers, id, scheduled.completion())

    return scenario("money_transfer", [(module.transfer,)], use, judge=judge, bank=Bank())


def newsletter() -> Scenario:
    module = example("newsletter")

    def judge(lines: Sequence[Line]) -> list[str]:
        missing = set(module.CUSTOMERS) - set(calls_in(lines))
        return [f"world: nobody wrote to {missing}"] if missing else []

    flows = [(module.newsletter,), (module.newsletter_part,)]

    async def use(user: User) -> None:
        handle, _ = user.handles
        scheduled = await handle.schedule("spring", "our offers", module.CUSTOMERS)
        await user.ended(handle, "spring", scheduled.completion())

    return scenario("newsletter", flows, use, judge=judge, note=call)


def order_rpc() -> Scenario:
    module = example("order_rpc")
    order = module.Order(ORDER, "ann", "a book", Decimal("19.90"))
    judge = all_of(at_most_once("ship"), one_id_each("reserve"))
    flows, use = [(module.order_flow,)], started(ORDER, order)
    return scenario("order_rpc", flows, use, judge=judge, excused=INTERRUPTED, note=call)


def demo() -> Scenario:
    module = example("demo")

    class World:
        async def call(self, what: str, details: str) -> None:
            call(f"{what} {details}")
            await asyncio.sleep(0.01)

    order = module.Order("ann", "a book", Decimal("19.90"))
    judge = all_of(at_most_once("ship"), one_id_each("reserve"))
    flows = [(module.OrderFlow, lambda: module.OrderFlow(World()))]
    return scenario("demo", flows, started(ORDER, order), judge=judge, excused=INTERRUPTED)


def shop() -> Scenario:
    module = example("shop")

    def say(*words: object) -> None:
        call(" ".join(map(str, words)))

    def shorter(seconds: float) -> timedelta:
        return timedelta(seconds=seconds / 20)

    judge = all_of(at_most_once("shipping"), one_id_each("reserving"))
    flows, use = [(module.order_flow,)], started(ORDER, "a book")
    return scenario(
        "shop", flows, use, judge=judge, excused=INTERRUPTED, print=say, timedelta=shorter
    )


def overloaded() -> Scenario:
    module = example("overloaded")
    flows, use = [(module.report_flow,)], started("R-1", "the year")
    judge = one_id_each("write", "print")
    return scenario("overloaded", flows, use, judge=judge, note=call, calls=calls, PAUSE=SOON)


def puzzle_and_rocket() -> Scenario:
    module = example("puzzle_and_rocket")

    async def use(user: User) -> None:
        puzzles, launches = user.handles
        puzzle = await puzzles.schedule("P-1", module.digest_of("12"))
        await user.ended(puzzles, "P-1", puzzle.completion())
        launch = await launches.schedule("R-1")
        await user.ended(launches, "R-1", launch.completion(), part="seen")

    flows = [(module.puzzle_flow,), (module.rocket_flow,)]
    return scenario(
        "puzzle_and_rocket",
        flows,
        use,
        judge=at_most_once("fuel", "fire"),
        excused=INTERRUPTED,
        volatile=("seen",),
        note=call,
        time=SimpleNamespace(sleep=silent),
    )


# the rest


def schedule() -> Scenario:
    module = example("schedule")

    def send(email: str, text: str) -> None:
        call(text)

    def judge(lines: Sequence[Line]) -> list[str]:
        texts = list(dict.fromkeys(calls_in(lines)))
        return [] if len(texts) == 3 and texts[0] == "welcome" else [f"world: sent {texts}"]

    flows, use = [(module.membership,)], started("ann", "ann", SOON)
    return scenario("schedule", flows, use, judge=judge, send=send)


def web_orders() -> Scenario:
    module = example("web_orders")
    stages = ["packing", "on its way"]  # as numbers, for the rule that no state turns back

    async def use(user: User) -> None:
        site = module.Site(user.app)
        body = msgspec.json.encode({"id": ORDER, "product": "a book"})
        for _ in range(2):
            status, _ = await site.post_order(body)
            assert status == 202
        await user.ended(site.orders, ORDER, site.orders.completion(ORDER))
        assert await site.orders.state(ORDER, int) == stages.index("on its way")

    return scenario("web_orders", [(module.order_flow,)], use, Progress=stages.index)


def control_panel() -> Scenario:
    module = example("control_panel")

    async def use(user: User) -> None:
        (orders,) = user.handles
        if await orders.control_panel(ORDER) is None:
            await orders.schedule(ORDER, "nowhere")
        while True:
            try:
                await orders.completion(ORDER)
                break
            except FlowFailed:
                await help_out(orders)
        await user.ended(orders, ORDER, orders.completion(ORDER))

    async def help_out(orders: Any) -> None:
        panel = await module.panel_of(orders)
        try:
            if panel.args == ("nowhere",):
                await module.correct(orders, "1 Old Street")
            else:
                await module.allow_shipping(orders)
        except FlowMoved:
            return

    return scenario(
        "control_panel",
        [(module.order_flow,)],
        use,
        judge=one_id_each("pack"),
        # It has ended, and a person lets it begin again.
        exempt=("stored_is_never_rewritten", "ended_stays_ended"),
        note=call,
    )


FLOWS = (
    *(approval, bus_handlers, order_messages, two_messages, user_registration, order_flow_test),
    *(money_transfer, newsletter, order_rpc, demo, shop, overloaded, puzzle_and_rocket),
    *(schedule, web_orders, control_panel),
)


def examples() -> dict[str, Scenario]:
    """Give the examples as scenarios."""
    return {one.name: one for one in (make() for make in FLOWS)}
