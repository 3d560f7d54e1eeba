"""Who uses the flows of a simulated world: starts, messages, questions, cancels, and an operator.

It is a process that runs no flows and is never killed, so what it was told counts. What it finds
wrong at once it writes down as a line `wrong`.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import msgspec

from tests.crash.checker.history import FINAL
from tests.crash.torture.acts import address_of
from tests.crash.torture.programs import (
    CODES,
    REFUSED,
    WHOLE,
    Ask,
    Letter,
    Maybe,
    Nudge,
    Ping,
    Program,
    Refused,
    children_of,
    initial_of,
    messages_of,
    program_of,
    questions_of,
    reply_to,
    walk,
)
from tests.simulation.world import World
from unbroken import (
    Delivery,
    EffectNotFound,
    FlowCancelled,
    FlowEnded,
    FlowFailed,
    FlowMoved,
    FlowNotFound,
    FlowParked,
    QuestionRefused,
    Status,
    StoreUnavailable,
)

PAUSE = 0.5
BRIEFLY = timedelta(seconds=1)


class Mailing(msgspec.Struct, frozen=True):
    """A flow, by type and id, and the program for which something is sent to it."""

    type: str
    id: str
    program: Program

    @property
    def flow(self) -> str:
        """The flow as the ledger calls it."""
        return f"{self.type} {self.id}"


class User:
    """Drives some flows until each has ended for good."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tape = world.tape
        self._handles: dict[str, Any] = {}
        self.programs: dict[str, Program] = {}
        """What each flow was last told to do, children included."""
        self._over: set[str] = set()

    async def use(self) -> None:
        """Start some flows at about the same time, and see them all end."""
        app, handles = self._world.app(CODES[1], execute=False)
        self._handles = {handle.name: handle for handle in handles}
        async with app:
            count = 1 + self._tape.draw(3)
            await asyncio.gather(*(self._drive(number) for number in range(count)))

    async def _drive(self, number: int) -> None:
        await asyncio.sleep(self._tape.fraction() * 3)
        program = program_of(self._tape.draw(1 << 30), number, WHOLE)
        kind = "persist" if self._tape.is_one_in(4) else "interpret"
        one = Mailing(kind, f"f{number}", program)
        parts = [one, *(Mailing("interpret", *child) for child in children_of(one.id, program))]
        self.programs.update({part.flow: part.program for part in parts})
        await self._start(one)
        self._world.write("scheduled", one.flow, "")
        sending = asyncio.gather(*(self._send_all(part) for part in parts))
        must_be_cancelled = bool(program) and program[-1].kind == "never"
        if must_be_cancelled or self._tape.is_one_in(8):
            await self._cancel(one)
            insisting = [self._insist(one)] if must_be_cancelled else []
            sending = asyncio.gather(sending, *insisting)
            value = await self._outcome(one)
        else:
            if len(parts) > 1 and self._tape.is_one_in(4):
                await self._cancel(self._tape.pick(parts[1:]))
            value = await self._see_it_end(one)
        self._over.add(one.id)
        self._world.write("result", one.flow, "", value=value)
        await sending

    async def _start(self, one: Mailing) -> None:
        """Start a flow, sometimes twice, or with its first message."""
        handle = self._handles[one.type]
        initial = initial_of(one.program, Refused)
        handle = handle if initial is None else handle.options(initial=initial)
        messages = messages_of(one.program)
        if messages and self._tape.is_one_in(4):
            start = handle.prepare(one.id, one.program)
            await self._send(one, messages[0], messages[0].text, start=start)
            return
        await handle.schedule(one.id, one.program)
        if self._tape.is_one_in(4):
            await handle.schedule(one.id, one.program)

    # how it ends

    async def _outcome(self, one: Mailing) -> Any:
        """Wait for the end; whoever is parked goes on after a deploy."""
        while True:
            try:
                text = await self._handles[one.type].completion(one.id)
                return msgspec.json.decode(text)
            except FlowCancelled:
                return {"cancelled": True}
            except FlowFailed as error:
                return {"error": f"{error.error.type}: {error.error.message}"}
            except FlowParked as error:
                await asyncio.sleep(PAUSE)
                if error.error.type.endswith("PoisonFlow"):
                    harmless = [act for act in self.programs[one.flow] if act.kind != "poison"]
                    await self._restart(one, tuple(harmless))
            except StoreUnavailable:
                await asyncio.sleep(PAUSE)

    async def _see_it_end(self, one: Mailing) -> Any:
        """Restart it after failures that another run can mend, and sometimes for no reason."""
        while True:
            value = await self._outcome(one)
            program = self.programs[one.flow]
            error = value.get("error", "") if isinstance(value, dict) else ""
            if error.startswith("unbroken.") and "EffectInterrupted" in error:
                await self._restart(one, program, removes="strict top")
            elif self._is_mended_by_a_run(one, program, error):
                await self._restart(one, program)
            elif error == f"{REFUSED}: {program[-1].text}" and self._tape.is_one_in(2):
                await self._restart(one, program[:-1])
            elif not error and self._tape.is_one_in(12):
                await self._restart(one, program)
                again = await self._outcome(one)
                if again != value:
                    self._world.write("wrong", one.flow, "", value=f"{value}, then {again}")
                return value
            else:
                return value

    @staticmethod
    def _is_mended_by_a_run(one: Mailing, program: Program, error: str) -> bool:
        stumbles = {f"{REFUSED}: {act.text}" for act in program if act.kind == "stumble"}
        return one.type == "interpret" and error in stumbles

    async def _restart(self, one: Mailing, program: Program, removes: str | None = None) -> None:
        """Be an operator who, like any caller, may be left without an answer."""
        is_other = program != self.programs[one.flow]
        self.programs[one.flow] = program
        while True:
            try:
                panel = await self._handles[one.type].control_panel(one.id)
                if panel.status is Status.LIVE:
                    return  # the answer was lost, or it is due already
                if removes is not None:
                    self._world.write("removing", one.flow, removes)
                    await panel.effects.remove(removes)
                    removes = None
                if is_other:
                    panel.set_param(program)
                self._world.write("restarting", one.flow, "")
                await panel.restart()
                self._world.write("restarted", one.flow, "")
            except EffectNotFound:
                removes = None  # it is gone: only the answer was lost
            except (StoreUnavailable, FlowMoved):
                await asyncio.sleep(PAUSE)
            else:
                return

    async def _cancel(self, one: Mailing) -> None:
        """Cancel a flow at some moment; from then on it must not end well."""
        await asyncio.sleep(self._tape.fraction() * 10)
        await self._cancel_now(one)

    async def _insist(self, one: Mailing) -> None:
        """Cancel it again if a restart took the cancel back."""
        while not self._is_over(one):
            await asyncio.sleep(4 * PAUSE)
            if self._world.is_left_alone(one.flow):
                await self._cancel_now(one)

    async def _cancel_now(self, one: Mailing) -> None:
        delivery = await self._handles[one.type].cancel(one.id)
        self._world.write("cancelled", one.flow, "", value=delivery.value)

    # what is sent to it

    async def _send_all(self, one: Mailing) -> None:
        wakes = [act.text for act in walk(one.program) if act.kind == "suspend"]
        letters = [act for act in walk(one.program) if act.kind == "letter"]
        await asyncio.gather(
            self._send_messages(one),
            self._ask_all(one),
            *(self._nudge(one, text) for text in wakes),
            *(self._post(one, act.text, address_of(one.id, act)) for act in letters),
            *([self._watch(one)] if len(one.program) % 2 == 1 else []),
        )

    async def _send_messages(self, one: Mailing) -> None:
        await asyncio.gather(*(self._send_one(one, text) for text in messages_of(one.program)))

    async def _send_one(self, one: Mailing, message: Ping | Maybe) -> None:
        await asyncio.sleep(self._tape.fraction() * 4)
        copies: list[Ping | Maybe] = [message]
        if self._tape.is_one_in(3):
            copies.append(type(message)(f"another {message.text}"))
        await asyncio.gather(*(self._send(one, copy, message.text) for copy in copies))

    async def _send(
        self, one: Mailing, message: Ping | Maybe | Nudge, key: str, start: Any = None
    ) -> None:
        """Send until there is such a flow, or never will be."""
        while True:
            send = self._handles[one.type].send_message
            delivery = await send(one.id, message, key=key, start=start)
            value = {"key": key, "text": message.text, "delivery": delivery.value}
            self._world.write("sent", one.flow, "", value=value)
            is_refused = delivery in {Delivery.NO_SUCH_FLOW, Delivery.FLOW_ENDED}
            if not is_refused or self._is_over(one):
                return
            await asyncio.sleep(PAUSE)

    async def _nudge(self, one: Mailing, text: str) -> None:
        """Wake a flow that left memory for whatever message comes, until it has gone on."""
        number = 0
        while not (self._is_over(one) or self._has_line("passed", one, text)):
            await asyncio.sleep(2 * PAUSE)
            if self._has_line("suspending", one, text):
                number += 1
                await self._send(one, Nudge(f"nudge {number}"), f"nudge {number}")

    async def _post(self, one: Mailing, text: str, about: str) -> None:
        """Send a letter to all who registered, until the one who wants it has it or has ended."""
        letter = Letter(f"{one.id} {text}")
        while not self._is_over(one):
            registered = self._registered(about)
            route = self._handles[one.type].route_message
            try:
                await route(letter, about, key=f"letter {letter.text}")
            except StoreUnavailable:
                await asyncio.sleep(PAUSE)
                continue
            self._check_reached(registered & self._registered(about), one.type, letter)
            if self._world.has_message(one.flow, f"=letter {letter.text}"):
                return
            await asyncio.sleep(2 * PAUSE)

    def _registered(self, about: str) -> set[str]:
        """Give the flows that know that they are registered, and did not begin to leave."""
        lines = self._world.lines_of
        came = {line.flow for line in lines("correlated") if line.value == about}
        return came - {line.flow for line in lines("uncorrelating") if line.value == about}

    def _check_reached(self, flows: set[str], type: str, letter: Letter) -> None:
        for flow in sorted(flows):
            status = self._world.status_of(flow)
            is_reached = self._world.has_message(flow, f"=letter {letter.text}")
            if flow.startswith(f"{type} ") and status not in FINAL and not is_reached:
                text = f"{letter.text!r} did not reach it although it is registered"
                self._world.write("wrong", flow, "", value=text)

    def _has_line(self, kind: str, one: Mailing, effect: str) -> bool:
        lines = self._world.lines_of(kind)
        return any((line.flow, line.effect) == (one.flow, effect) for line in lines)

    def _is_over(self, one: Mailing) -> bool:
        """Whether a flow has ended for good, or the one above it, so that it never begins."""
        id = one.id
        while "/" in id:
            status = self._world.status_of(f"interpret {id}")
            if status is not None:
                return status in FINAL
            id = id.rpartition("/")[0]
        return id in self._over  # one that failed may be restarted

    # what is asked of it

    async def _ask_all(self, one: Mailing) -> None:
        for number, question in enumerate(questions_of(one.program)):
            await asyncio.sleep(self._tape.fraction() * 2)
            asking = [self._ask(one, question, f"ask {question.text}")]
            if self._tape.is_one_in(4):
                asking.append(self._ask(one, question, f"ask {question.text}"))
            if self._tape.is_one_in(4):
                silly = Ask(f"silly {number}")
                asking.append(self._ask(one, silly, f"ask {silly.text}"))
            await asyncio.gather(*asking)

    async def _ask(self, one: Mailing, question: Ask, key: str) -> None:
        """Ask until there is an answer; who gives up in between asks again under the same key."""
        while True:
            timeout = BRIEFLY if self._tape.is_one_in(3) else None
            ask = self._handles[one.type].ask(one.id, question, str, key=key, timeout=timeout)
            try:
                answer: str = await ask
            except QuestionRefused as error:
                answer = str(error)
            except (TimeoutError, FlowEnded, FlowNotFound, FlowParked, StoreUnavailable):
                if question.text.startswith("silly") or self._is_over(one):
                    return
                await asyncio.sleep(PAUSE)
                continue
            value = {"key": key, "answer": answer, "expected": reply_to(question)}
            self._world.write("answered", one.flow, "", value=value)
            return

    async def _watch(self, one: Mailing) -> None:
        """Look at what it publishes, again and again."""
        while not self._is_over(one):
            await asyncio.sleep(8 * PAUSE * self._tape.fraction())
            try:
                state = await self._handles[one.type].state(one.id, int)
            except StoreUnavailable:
                continue
            self._world.write("read", one.flow, "", value=state)
