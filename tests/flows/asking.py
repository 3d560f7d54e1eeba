"""Flows that are asked, and what is asked of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.flows.apps import Gate, loose
from unbroken import QuestionRefused, flow, question
from unbroken.stores.batch import Batch

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@dataclass
class Address:
    street: str


@dataclass
class ChangeAddress:
    street: str
    number: int = 1


@dataclass
class ChangeName:
    name: str


@flow
async def moving(count: int = 1) -> list[str]:
    streets: list[str] = []
    for _ in range(count):
        asked = await question(ChangeAddress)
        streets.append(asked.value.street)
        await asked.answer(Address(asked.value.street))
    return streets


async def refused_by(asking: Any) -> str:
    try:
        await asking
    except QuestionRefused as error:
        return error.reason
    return "answered"


def check_number(asked: ChangeAddress) -> None:
    if asked.number <= 0:
        raise ValueError(f"no house has the number {asked.number}")


class Held:
    """A write that has landed, and of which nobody is told until the test lets it go."""

    def __init__(self, app: object, is_it: Callable[[Batch], bool]) -> None:
        self._is_it, self._gate = is_it, Gate()
        store = loose(app)._store
        self._commit, store.commit = store.commit, self._held

    async def _held(self, batch: Batch) -> object:
        receipt = await self._commit(batch)
        if self._is_it(batch):
            await self._gate.pass_through()
        return receipt

    async def reached(self) -> None:
        await self._gate.reached()

    def let_go(self) -> None:
        self._gate.open()
