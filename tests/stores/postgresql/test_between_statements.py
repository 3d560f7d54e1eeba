"""What another process does between two statements of a transaction is met, not stumbled over."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest

from tests.services import Database
from tests.stores.driver import Driver, note
from unbroken.model.records import Delivery, FlowRef, Status
from unbroken.stores.batch import (
    Answer,
    Append,
    Appended,
    Change,
    Changed,
    LeavePlace,
    Start,
    TakePlace,
)
from unbroken.stores.postgresql.transaction import PostgresTransaction
from unbroken.stores.store import Amendment, Store

pytestmark = pytest.mark.parametrize("shared_url", ["postgresql"], indirect=True)

Meanwhile = Callable[[], Awaitable[object]]
Interrupt = Callable[[str, Meanwhile], None]


@pytest.fixture
async def pair(two_stores: tuple[Store, Store]) -> tuple[Driver, Driver]:
    """Two processes, each with a store of its own."""
    me, other = (
        Driver(store, name) for store, name in zip(two_stores, ("me", "other"), strict=True)
    )
    for driver in (me, other):
        await driver.store.register(driver.replica)
    return me, other


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Interrupt:
    """Let something happen once, just before a statement of the catalogue."""
    real = PostgresTransaction.all

    def plan(name: str, meanwhile: Meanwhile) -> None:
        left = [meanwhile]

        async def interrupted(tx: PostgresTransaction, called: str, /, **values: object) -> Any:
            if called == name and left:
                await left.pop()()
            return await real(tx, called, **values)

        monkeypatch.setattr(PostgresTransaction, "all", interrupted)

    return plan


def start_with_a_message() -> Start:
    """One that needs more than one statement."""
    return Start("t", "f", "{}", messages=(note("m"),))


async def end(driver: Driver, id: str) -> FlowRef:
    flow = await driver.run(id)
    assert (await driver.end(flow)).answer is Answer.ACCEPTED
    return flow


async def test_a_start_that_met_a_flow_which_is_deleted_then_makes_a_new_one(
    pair: tuple[Driver, Driver], interrupt: Interrupt
) -> None:
    me, other = pair
    old = await end(other, "f")
    interrupt("attachable", lambda: other.store.delete_flow("t", "f"))
    (started,) = (await me.commit(starts=(start_with_a_message(),))).started
    assert started.created
    assert started.flow.number != old.number
    assert await me.inbox(started.flow) == ("m",)


async def test_a_start_that_looks_how_a_flow_ended_while_it_is_deleted_makes_a_new_one(
    pair: tuple[Driver, Driver], interrupt: Interrupt
) -> None:
    me, other = pair
    old = await end(other, "f")
    interrupt("find", lambda: other.store.delete_flow("t", "f"))
    (started,) = (await me.commit(starts=(start_with_a_message(),))).started
    assert started.created
    assert started.flow.number != old.number


async def test_a_start_that_looks_how_a_flow_ended_while_it_is_restarted_finds_it_live(
    pair: tuple[Driver, Driver], interrupt: Interrupt
) -> None:
    me, other = pair
    flow = await end(other, "f")
    version = (await other.view("f")).version
    again = Amendment(restarts=True)
    interrupt("find", lambda: other.store.amend(flow.number, version, again))
    (started,) = (await me.commit(starts=(start_with_a_message(),))).started
    assert (started.created, started.flow, started.outcome) == (False, flow, None)


async def test_a_message_reaches_a_flow_that_comes_while_its_absence_is_noticed(
    pair: tuple[Driver, Driver], interrupt: Interrupt
) -> None:
    me, other = pair
    idle = await me.run("idle")
    interrupt("number_of", lambda: other.start("f"))
    changes: tuple[Change, ...] = (Append("t", "f", (note("m"),)), LeavePlace(idle, None, "q"))
    sent, left = (await me.commit(changes=changes)).changed
    assert isinstance(sent, Appended)
    assert isinstance(left, Changed)
    assert (sent.deliveries, left.answer) == ((Delivery.ACCEPTED,), Answer.REFUSED)
    assert sent.flow is not None
    assert await me.inbox(sent.flow) == ("m",)


async def test_a_place_is_not_given_to_a_flow_that_is_being_parked(
    pair: tuple[Driver, Driver], postgresql: Database
) -> None:
    me, _ = pair
    holder, parked, next_one = [await me.run(id) for id in "abc"]
    for flow in (holder, parked, next_one):
        await me.change(TakePlace(flow, 1, "q", "~lock", 1))
    with closing(psycopg.connect(postgresql.url)) as parking:
        parking.execute(
            "UPDATE unbroken_flows SET status = 'parked', owner = NULL WHERE number = %s",
            [parked.number],
        )
        leaving = asyncio.create_task(me.change(LeavePlace(holder, 1, "q")))
        while not postgresql.run(_WAITING):  # noqa: ASYNC110 - the server knows, and tells nobody
            await asyncio.sleep(0)
        parking.commit()
    assert [told.flow for told, _ in (await leaving).granted] == [next_one]
    standing = [(place.flow.id, place.holds) for place in await me.store.places("q")]
    assert standing == [("c", True), ("b", False)]
    assert (await me.view("b")).status is Status.PARKED


_WAITING = """
    SELECT 1 FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock'"""
