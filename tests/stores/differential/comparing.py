"""Runs a sequence on a store and on the model, and says where they first differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from tests.stores.clock import FakeClock
from tests.stores.differential.ledger import met
from tests.stores.differential.model.freedom import Chosen, Freedom, NotAllowed
from tests.stores.differential.model.store import Model
from tests.stores.differential.numbers import Numbers
from tests.stores.differential.steps import (
    Commit,
    Register,
    Request,
    Step,
    Subject,
    Wait,
    ask,
    exact,
    in_canonical_order,
)
from unbroken.model.errors import StoreError
from unbroken.stores.batch import Correlate, Receipt, TakePlace
from unbroken.stores.store import Question, Store

EVERYTHING = 1000
TURNS = 4
MOST_CHOICES = 500

# Gives the next request, seeing how the model stands; None ends the sequence.
Author = Callable[[Model, int], Request | Wait | None]


class Difference(msgspec.Struct, frozen=True):
    """Where store and model parted: at which step, in which answer or what was read after it."""

    step: Step
    where: str
    store: object
    model: object

    @property
    def kind(self) -> tuple[object, ...]:
        """Say what sort of difference it is: a smaller sequence is to have the same."""
        sides = (type(self.store), type(self.model))
        return self.where.partition("(")[0], type(self.step.what), *sides

    def __str__(self) -> str:
        return (
            f"step {self.step.number}, {self.where}:\n    store {self.store!r}\n"
            f"    model {self.model!r}\nafter {self.step.what!r}"
        )


class Names:
    """All that was ever named in a sequence, so that whatever a store has of it is looked at."""

    def __init__(self) -> None:
        self.flows: dict[tuple[str, str], None] = {}
        self.types: dict[str, None] = {}
        self.numbers: dict[int, None] = {}
        self.replicas: dict[str, None] = {}
        self.queues: dict[str, None] = {}
        self.correlations: dict[tuple[str, str], None] = {}
        self.questions: dict[Question, None] = {}

    def note(self, what: Request, model: Model) -> None:
        """Note what a request named, and what the model has since."""
        if isinstance(what, Register):
            self.replicas[what.replica] = None
        if not isinstance(what, Commit):
            return
        for start in what.batch.starts:
            for name in (start.type, *start.aliases):
                self.types[name] = None
                self.flows[name, start.id] = None
        for part in what.batch.changes:
            if isinstance(part, TakePlace):
                self.queues[part.queue] = None
            elif isinstance(part, Correlate):
                self.correlations[part.flow.type, part.correlation] = None
        self.numbers.update(dict.fromkeys(model.tables.flows))
        for (flow, _), mail in model.tables.mails.items():
            self.questions[Question(flow, mail.message.key)] = None


class Comparison:
    """A store and the model side by side."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.model = Model(clock)
        self.names = Names()
        self.steps: list[Step] = []
        self.met: Counter[str] = Counter()
        self._store = store
        self._numbers = Numbers()
        self._clock = clock

    async def run(self, author: Author, length: int) -> Difference | None:
        """Take steps from the author until store and model differ."""
        for number in range(length):
            what = author(self.model, number)
            if what is None:
                return None
            self.steps.append(Step(number, self._numbers.for_sequence(what)))
            if difference := await self.take(self.steps[-1]):
                return difference
        return None

    async def take(self, step: Step) -> Difference | None:
        """Take one step on both sides."""
        if isinstance(step.what, Wait):
            self._clock.instant += step.what.microseconds
            return None
        request = self._numbers.for_store(step.what)
        what = exact(request, self.model.tables, self._clock.now())
        answer = await ask(self._store, what)
        self.met.update(met(request, answer))
        chosen = _chosen(answer)
        for index, theirs in enumerate(chosen.numbers if chosen else ()):
            self._numbers.learn(step.first_number + index, theirs)
        first: Difference | None = None
        for model in _possible(self.model, chosen):
            difference = await self._compare(step, what, answer, model)
            if difference is None:
                self.model = model
                return None
            first = first or difference
        return first

    async def _compare(
        self, step: Step, what: Request, answer: object, model: Model
    ) -> Difference | None:
        try:
            expected = await ask(model, what)
        except NotAllowed as reason:
            return Difference(step, "answer", answer, reason)
        if answer != expected:
            return Difference(step, "answer", answer, expected)
        self.names.note(what, model)
        for name, arguments in _reads(self.names, step.number):
            theirs = await _read(self._store, name, arguments)
            ours = await _read(model, name, arguments)
            if theirs != ours:
                return Difference(step, f"{name}{arguments!r}", theirs, ours)
        return None


async def difference_in(store: Store, clock: FakeClock, steps: Sequence[Step]) -> Difference | None:
    """Run a sequence that was written down on an empty store."""
    comparison = Comparison(store, clock)
    for step in steps:
        if difference := await comparison.take(step):
            return difference
    return None


def _reads(names: Names, turn: int) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Give the reads that together show all that the protocol shows of what was named.

    What is shown twice is read by turns the second time.
    """
    questions, flows = tuple(names.questions), tuple(names.flows)
    for type_ in names.types:
        yield "list_flows", (type_, (), 0, EVERYTHING)
    yield "poll", ("", (), tuple(names.numbers), questions)
    for number in names.numbers:
        yield "read_effects", (number,)
        yield "read_inbox", (number,)
    for flow in names.flows:
        yield "read_state", flow
    for replica in names.replicas:
        yield "owned", (replica,)
    for queue in names.queues:
        yield "places", (queue,)
    for type_and_id in names.correlations:
        yield "correlated", type_and_id
    for flow in flows[turn % TURNS :: TURNS]:
        yield "view", flow
        yield "find", flow
    for question in questions[turn % TURNS :: TURNS]:
        yield "read_reply", (question,)


async def _read(subject: Subject, name: str, arguments: tuple[object, ...]) -> object:
    method: Any = getattr(subject, name)
    try:
        return in_canonical_order(await method(*arguments))
    except StoreError as error:
        return type(error).__name__


def _chosen(answer: object) -> Chosen | None:
    """Give what a store chose by itself in a batch."""
    if not isinstance(answer, Receipt):
        return None
    return Chosen(
        tuple(one.flow.number for one in answer.started if one.created),
        tuple(one.flow.number for one in answer.claimed),
        frozenset(flow.number for flow in answer.parked),
    )


def _possible(model: Model, chosen: Chosen | None) -> Iterator[Model]:
    """Give copies of the model, one for each way in which the store may have gone.

    Each one is to be asked before the next is taken: what there is to choose shows only then.
    """
    picks: tuple[int, ...] | None = ()
    for _ in range(MOST_CHOICES):
        freedom = Freedom(picks, chosen)
        yield model.copy(freedom)
        picks = freedom.following()
        if picks is None:
            return
