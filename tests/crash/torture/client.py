"""Who uses the flows: starts them, sends their messages, and waits for how they end.

It is a process of its own that runs nothing and is not tormented, so what it was told counts.
"""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from tests.crash import ledger
from tests.crash.torture.programs import (
    Ask,
    Maybe,
    Ping,
    Program,
    children_of,
    interpret,
    messages_of,
    program_of,
    questions_of,
    reply_to,
)
from unbroken import (
    Delivery,
    FlowEnded,
    FlowFailed,
    FlowNotFound,
    FlowParked,
    Flows,
    QuestionRefused,
    Unbroken,
)

Handle = Flows[[Program, int], str]

AT_THE_SAME_TIME = 40
STOP = "stop"
QUIESCE = timedelta(seconds=60)


class Client:
    """Drives flows until it is told to stop, and then until all have ended."""

    def __init__(self, seed: int, folder: Path, url: str, lease: timedelta) -> None:
        self._seed = seed
        self._folder = folder
        self._app = Unbroken(url, execute=False, lease=lease)
        self._flows: Handle = self._app.register(interpret)
        self._places = asyncio.Semaphore(AT_THE_SAME_TIME)
        self._chance = random.Random(f"client {seed}")

    async def run(self) -> None:
        """Start flow after flow, as many at a time as there are places."""
        running: set[asyncio.Task[None]] = set()
        number = 0
        async with self._app:
            while not (self._folder / STOP).exists():
                await self._places.acquire()
                number += 1
                task = asyncio.create_task(self._drive(number))
                running.add(task)
                task.add_done_callback(lambda _: self._places.release())
                await asyncio.sleep(self._chance.expovariate(200))
            await asyncio.wait(running)
            for task in running:
                task.result()

    async def _drive(self, number: int) -> None:
        program = program_of(self._seed, number)
        id = f"f{number}"
        scheduled = await self._twice(lambda: self._flows.schedule(id, program, 0))
        ledger.write("scheduled", flow=f"interpret {id}")
        sending = [
            asyncio.create_task(self._send_all(one, part))
            for one, part in [(id, program), *children_of(id, program)]
        ]
        for ask in range(1 + (self._chance.random() < 0.2)):
            try:
                text = await scheduled.completion(timeout=QUIESCE)
                value = msgspec.json.decode(text)
            except FlowFailed as error:
                value = {"error": f"{error.error.type}: {error.error.message}"}
            except (TimeoutError, FlowParked) as error:
                value = {"stuck": f"asked {ask}: {error}"}
            ledger.write("result", flow=f"interpret {id}", value=value)
        for task in sending:
            await task

    async def _send_all(self, id: str, program: Program) -> None:
        for message in messages_of(program):
            await asyncio.sleep(self._chance.expovariate(50))
            copies = [message]
            if self._chance.random() < 0.3:
                copies += [message, type(message)(f"another {message.text}")]
            await asyncio.gather(*(self._send(id, one, message.text) for one in copies))
        for question in questions_of(program):
            await asyncio.sleep(self._chance.expovariate(50))
            asked = 1 + (self._chance.random() < 0.3)
            await asyncio.gather(*(self._ask(id, question) for _ in range(asked)))

    async def _ask(self, id: str, question: Ask) -> None:
        """Ask until there is an answer; who gives up in between asks again under the same key."""
        key = f"ask {question.text}"
        while True:
            patience = timedelta(seconds=self._chance.choice((0.05, 60)))
            try:
                answer = await self._flows.ask(id, question, str, key=key, timeout=patience)
            except QuestionRefused as error:
                answer = str(error)
            except (TimeoutError, FlowNotFound):
                await asyncio.sleep(0.1)
                continue
            except (FlowEnded, FlowParked) as error:
                answer = f"none: {error}"
            value = {"key": key, "answer": answer, "expected": reply_to(question)}
            ledger.write("answered", flow=f"interpret {id}", value=value)
            return

    async def _send(self, id: str, message: Ping | Maybe, key: str) -> None:
        """Send until there is such a flow; a child is started only later."""
        while True:
            delivery = await self._flows.send_message(id, message, key=key)
            value = {"key": key, "text": message.text, "delivery": delivery.value}
            ledger.write("sent", flow=f"interpret {id}", value=value)
            if delivery is not Delivery.NO_SUCH_FLOW:
                return
            await asyncio.sleep(0.1)

    async def _twice(self, start: Any) -> Any:
        """Start, and sometimes start again at the same time: both are attached to one flow."""
        if self._chance.random() < 0.3:
            return (await asyncio.gather(start(), start()))[0]
        return await start()


def run(seed: int, folder: Path, url: str, lease: timedelta) -> None:
    """Be the client's process."""
    asyncio.run(Client(seed, folder, url, lease).run())
