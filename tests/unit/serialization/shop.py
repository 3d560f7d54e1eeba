"""Classes as users write them, in a module of their own so that they are found by name."""

from __future__ import annotations

import dataclasses
import enum
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypedDict, TypeVar
from uuid import UUID

import attrs
import msgspec
import pydantic

if TYPE_CHECKING:
    OnlyForCheckers = int

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Mixed(enum.Enum):
    NUMBER = 1
    PAIR = (1, 2)
    ALSO_NUMBER = 1  # noqa: PIE796 - users write aliases


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Line:
    sku: str
    count: int
    price: Decimal


@dataclasses.dataclass
class Order:
    id: UUID
    lines: list[Line]
    placed: datetime
    note: str | None = None
    colour: Colour = Colour.RED


@dataclasses.dataclass
class Animal:
    name: str


@dataclasses.dataclass
class Dog(Animal):
    tricks: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Kennel:
    guest: Animal
    others: list[Animal]
    notes: dict[str, Any]
    by_name: dict[str, Animal] = dataclasses.field(default_factory=dict)


class Plain(Animal):
    """A subclass without the decorator, with an attribute that is no field."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.secret = "kept nowhere"


@dataclasses.dataclass(frozen=True, slots=True)
class Money:
    amount: float
    currency: str = dataclasses.field(compare=False, default="EUR")


@dataclasses.dataclass
class Total:
    """Derives one field, and changes another each time it is made."""

    parts: list[int]
    made: int = 0
    total: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.made += 1
        self.total = sum(self.parts)


@dataclasses.dataclass
class WithInitVar:
    name: str
    loud: dataclasses.InitVar[bool] = False

    def __post_init__(self, loud: bool) -> None:
        if loud:
            self.name = self.name.upper()


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


@dataclasses.dataclass
class Tree:
    value: int
    children: list[Tree] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Anything:
    value: Any


@dataclasses.dataclass
class Picky:
    value: int

    def __post_init__(self) -> None:
        if self.value > 10:
            raise LookupError("no such value")


@attrs.define
class Point:
    x: int
    _hidden: str = "h"


@attrs.frozen
class Segment:
    start: Point
    tags: Any = attrs.field(factory=tuple)


@dataclasses.dataclass
class Unresolved:
    """Names a class that only a type checker sees."""

    value: OnlyForCheckers
    more: list[OnlyForCheckers] | None = None


class UnresolvedCell(msgspec.Struct):
    value: OnlyForCheckers
    more: int = 3


@attrs.define
class Chained:
    first: int
    second: int = attrs.field(default=attrs.Factory(lambda self: self.first + 1, takes_self=True))


class Sparse(msgspec.Struct, omit_defaults=True):
    """Leaves defaults out of its JSON."""

    x: int
    y: int = 5
    tags: list[str] = msgspec.field(default_factory=list)


class Cell(msgspec.Struct, frozen=True):
    row: int
    value: Any = None


class Renamed(msgspec.Struct, rename={"dollar": "$"}):
    dollar: int


class Pair(NamedTuple):
    left: int
    right: UUID


class Movie(TypedDict):
    title: str
    year: int


class Basket(TypedDict):
    guest: Animal


class Customer(pydantic.BaseModel):
    name: str
    born: datetime | None = None
    orders: list[Order] = []
    balance: Decimal = Decimal("0.00")


class Vip(Customer):
    level: int = 1


class Loose(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: int
    _seen: int = pydantic.PrivateAttr(default=0)


class Renaming(pydantic.BaseModel):
    inner: int = pydantic.Field(alias="outer")


class Hiding(pydantic.BaseModel):
    shown: int
    hidden: int = pydantic.Field(default=0, exclude=True)


class Holder(pydantic.BaseModel):
    animal: Animal
    customer: Customer


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


class NotData:
    """A plain class: nothing says what its parts are."""


def local_class() -> type:
    @dataclasses.dataclass
    class Local:
        x: int

    return Local
