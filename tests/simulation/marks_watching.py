"""Sees every operation as the store applies it, and knows which marks it makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.simulation.marks import Marks
from tests.simulation.marks_of_takeovers import kinds_of_wait
from unbroken.model.records import Claimed, Delivery, Effect, Kind
from unbroken.stores.batch import (
    Answer,
    Append,
    Appended,
    Batch,
    Changed,
    Claim,
    Continue,
    End,
    LeavePlace,
    Receipt,
    Record,
    Release,
    Start,
    Started,
    Suspend,
    TakePlace,
)

NAMES: dict[type, str] = {
    Suspend: "a suspension",
    End: "an end",
    Append: "a message",
    TakePlace: "a place",
    LeavePlace: "a place",
}
OF_DELIVERIES = {
    Delivery.DUPLICATE: "message: duplicate",
    Delivery.FLOW_ENDED: "message: to a flow that has ended",
    Delivery.NO_SUCH_FLOW: "message: to no flow",
}
OF_KINDS = {
    Kind.PATCH: "patch: recorded",
    Kind.CORRELATION: "correlation: reached a flow",
}
IN_EFFECTS = ("touch", "thread", "once", "unflushed", "nested", "refuse", "flaky", "item", "back")


class Unknown:
    """A batch whose answer was lost."""

    def __init__(self, batch: Batch, result: Receipt | None) -> None:
        self.batch = batch
        self.result = result


class Watch:
    """What a stranger who sees all traffic knows of the flows."""

    def __init__(self) -> None:
        self.marks = Marks()
        self.apps: dict[str, Any] = {}
        """The app behind each identity."""
        self._owners: dict[int, str] = {}
        self._left_by: dict[int, str] = {}
        self._takeovers: Counter[int] = Counter()
        self._identities: Counter[int] = Counter()
        self._unknown: dict[str, Unknown] = {}
        self._limited: set[tuple[int, str]] = set()
        self._timed_out: set[tuple[int, str]] = set()
        self._tried: dict[tuple[int, str], str] = {}

    def note(self, mark: str) -> None:
        """Count a mark."""
        self.marks.note(mark)

    # whole operations

    def registers(self, replica: str, app: Any) -> None:
        """An app takes an identity."""
        self.apps[replica] = app
        self._identities[id(app)] += 1
        if self._identities[id(app)] == 3:
            self.note("replica: lost its identity twice")

    def applied(self, batch: Batch, receipt: Receipt | None, *, somebody_waits: bool) -> None:
        """The store applied a batch, or refused it."""
        if receipt is None:
            if somebody_waits:
                for kind in _writes_of(batch):
                    self.note(f"zombie: {kind} was refused")
            return
        self._starts(batch, receipt)
        self._records(batch, receipt)
        for change, answer in zip(batch.changes, receipt.changed, strict=True):
            self._change(batch, change, answer)
        if batch.states:
            self.note("state: published")
        if batch.claim is not None:
            self._claim(batch.replica, batch.claim, receipt)
        if batch.last:
            self.note("replica: left cleanly")

    def lost(self, batch: Batch, result: Receipt | None) -> None:
        """Nobody will hear what became of a batch."""
        self._unknown[batch.replica] = Unknown(batch, result)

    def settled(self, replica: str, number: int | None) -> None:
        """A replica learned what became of the batch it was in doubt about."""
        doubt = self._unknown.pop(replica, None)
        if number is None:
            self.note("unknown: declared dead meanwhile")
        elif doubt is None or number != doubt.batch.number:
            self.note("unknown: had not landed")
        else:
            self._had_landed(doubt.batch, doubt.result)

    def _had_landed(self, batch: Batch, receipt: Receipt | None) -> None:
        self.note("unknown: had landed")
        if batch.claim is not None and (receipt is None or receipt.claimed):
            self.note("unknown: a claim had landed")
        if batch.starts:
            self.note("unknown: a start had landed")
        if any(isinstance(change, Suspend) for change in batch.changes):
            self.note("unknown: a suspension had landed")
        if any(isinstance(change, End) for change in batch.changes):
            self.note("unknown: an end had landed")

    # parts

    def _starts(self, batch: Batch, receipt: Receipt) -> None:
        for start, started in zip(batch.starts, receipt.started, strict=True):
            if started.created:
                if start.owned:
                    self._owners[started.flow.number] = batch.replica
                continue
            self._found(start, started)

    def _found(self, start: Start, started: Started) -> None:
        self.note("start: found it there")
        if start.parent is not None and started.outcome is not None:
            self.note("child: had ended before it was asked for")

    def _records(self, batch: Batch, receipt: Receipt) -> None:
        written = [one for at, one in enumerate(batch.records) if at not in receipt.refused]
        if len({one.flow for one in written}) > 1:
            self.note("batch: shared by several flows")
        for record in written:
            self._record(batch.replica, record, record.effect)

    def _record(self, replica: str, record: Record, effect: Effect) -> None:
        match effect.kind:
            case Kind.DEADLINE | Kind.MESSAGE:
                self._wait(record.flow, effect)
            case Kind.RACE:
                self.note(f"race: won by the {'second' if effect.body == '1' else 'first'}")
            case Kind.CANCEL:
                name = effect.key.rpartition("/")[2]
                where = "an effect" if name.startswith(IN_EFFECTS) else "a wait"
                self.note(f"cancel: raised in {where}")
            case Kind.ATTEMPT:
                key = (record.flow, effect.key.rpartition(".")[0])
                if self._tried.setdefault(key, replica) != replica:
                    self.note("attempt: recorded, and tried elsewhere")
            case Kind.PATCH | Kind.CORRELATION:
                self.note(OF_KINDS[Kind(effect.kind)])
            case Kind.REPLY:
                self._reply(record)
            case _:
                pass
        if record.also is not None and record.also.restores:
            self.note("race: what the loser held came back")

    def _wait(self, flow: int, effect: Effect) -> None:
        if effect.kind == Kind.DEADLINE:
            if effect.key.endswith(".due"):
                self._limited.add((flow, effect.key.removesuffix(".due")))
        elif effect.type is None:
            self.note("timer: beat the message")
            self._timed_out.add((flow, _last_name(effect.key.partition("#")[0])))
        elif (flow, effect.key) in self._limited:
            self.note("timer: the message beat it")

    def _reply(self, record: Record) -> None:
        if record.also is not None and record.also.reply is not None and record.also.reply.failed:
            self.note("question: refused")
        elif self._takeovers[record.flow]:
            self.note("question: answered after a takeover")

    def _change(self, batch: Batch, change: object, answer: Changed | Appended) -> None:
        if isinstance(change, Append) and isinstance(answer, Appended):
            self._append(batch.replica, change, answer)
        if not isinstance(answer, Changed):
            return
        if isinstance(change, Suspend | End | Release):
            self._leave(batch.replica, change, answer)
        if isinstance(change, TakePlace):
            at_once = any(one.flow == change.flow for one, _ in answer.granted)
            self.note("lock: held at once" if at_once else "lock: waited for")
        if isinstance(change, LeavePlace) and answer.granted:
            self.note("lock: passed on")
        if isinstance(change, Continue) and answer.answer is Answer.ACCEPTED:
            self.note("flow: continued as new")

    def _leave(self, replica: str, change: Suspend | End | Release, answer: Changed) -> None:
        if answer.answer is Answer.MOVED:
            if isinstance(change, Suspend):
                self.note("suspension: refused, the inbox moved")
            elif isinstance(change, End) and answer.cancel:
                self.note("end: refused, a cancel came")
            elif isinstance(change, End):
                self.note("end: refused, a parent joined")
        if answer.answer is not Answer.ACCEPTED:
            return
        self._owners.pop(change.flow.number, None)
        self._left_by[change.flow.number] = replica
        if isinstance(change, Release):
            self.note("flow: released by a stop")
        if isinstance(change, End):
            self._end(answer)

    def _end(self, answer: Changed) -> None:
        for told in answer.told:
            if told.flow is None:
                continue
            if told.owner is None:
                self.note("child: its end woke a suspended parent")
            else:
                self.note("child: its end met a parent in memory")
                self._look_at_parent(told)

    def _look_at_parent(self, told: Appended) -> None:
        assert told.flow is not None
        incarnation = self._incarnation(told.owner, told.flow.number)
        if incarnation is not None and not incarnation.is_blocked:
            self.note("child: ended before the parent waited")

    def _append(self, replica: str, change: Append, answer: Appended) -> None:
        for delivery in answer.deliveries:
            mark = OF_DELIVERIES.get(delivery)
            if change.cancels:
                self._cancel(delivery, answer)
            elif mark is not None:
                self.note(mark)
        types = {_last_name(message.type) for message in change.messages}
        if answer.flow is not None and any(
            (answer.flow.number, name) in self._timed_out for name in types
        ):
            self.note("timer: the message came after all")
        is_news = Delivery.ACCEPTED in answer.deliveries and not change.cancels
        if is_news and answer.owner is None:
            self.note("message: woke a suspended flow")
        elif is_news and answer.owner != replica:
            self.note("message: to a flow that runs elsewhere")

    def _cancel(self, delivery: Delivery, answer: Appended) -> None:
        if delivery is Delivery.FLOW_ENDED:
            self.note("cancel: came after the end")
        elif delivery is Delivery.DUPLICATE:
            self.note("cancel: was asked twice")
        elif delivery is Delivery.ACCEPTED:
            runs = answer.owner is not None
            self.note(f"cancel: met a {'flow that runs' if runs else 'suspended flow'}")

    def _claim(self, replica: str, claim: Claim, receipt: Receipt) -> None:
        if not receipt.claimed and not receipt.parked:
            self.note("claim: came too late")
        for claimed in receipt.claimed:
            number = claimed.flow.number
            former = self._owners.get(number)
            if claimed.crashes > 1:
                self.note("claim: of a suspect")
            if former is None:
                self._resumed(replica, number)
            elif former != replica:
                self._taken(replica, former, claimed)
            self._owners[number] = replica

    def _resumed(self, replica: str, number: int) -> None:
        left_by = self._left_by.get(number)
        if left_by is not None:
            same = self.apps.get(left_by) is self.apps.get(replica)
            where = "where it was" if same else "elsewhere"
            self.note(f"claim: of a suspended flow, {where}")

    def _taken(self, replica: str, former: str, claimed: Claimed) -> None:
        number = claimed.flow.number
        self._takeovers[number] += 1
        if self._takeovers[number] == 2:
            self.note("takeover: twice of one flow")
        if self.apps.get(former) is self.apps.get(replica):
            self.note("takeover: by the same process")
            return
        incarnation = self._incarnation(former, number)
        if incarnation is not None:
            for kind in kinds_of_wait(incarnation):
                self.note(f"takeover: during {kind}")

    def _incarnation(self, replica: str | None, number: int) -> Any:
        """Look into the memory of a process, dead or alive."""
        app = self.apps.get(replica or "")
        engine = None if app is None else app._engine
        residents: Mapping[int, Any] = {} if engine is None else engine.executor.residents
        return residents.get(number)


def _writes_of(batch: Batch) -> set[str]:
    found = {NAMES[type(change)] for change in batch.changes if type(change) in NAMES}
    if batch.records:
        found.add("an effect")
    if batch.starts:
        found.add("a start")
    if batch.claim is not None:
        found.add("a claim")
    return found


def _last_name(text: str) -> str:
    """Give the last name in a key or a type: `message:Ping` and `some.module:Ping` have one."""
    return text.rpartition(":")[2].rpartition(".")[2]
