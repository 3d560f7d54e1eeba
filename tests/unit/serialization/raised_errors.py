"""Errors as users' effects raise them, by name; made anew in whichever process asks."""

from __future__ import annotations

import asyncio
import configparser
import dataclasses
import decimal
import json
import sqlite3
import subprocess
import threading
import urllib.error
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Self
from uuid import UUID
from xml.etree import ElementTree as ET

import aiohttp
import attrs
import httpx
import msgspec
import requests
import sqlalchemy
import sqlalchemy.exc
import sqlalchemy.orm.exc
from yarl import URL

from unbroken.model.errors import EffectFailed, FlowFailed, PayloadTooLarge

from . import shop

NONE: Any = None


class OutOfStock(Exception):
    """Its `__init__` takes other arguments than it hands on."""

    def __init__(self, sku: str, *, wanted: int) -> None:
        super().__init__(f"{sku} is out of stock")
        self.sku = sku
        self.wanted = wanted


class Declined(Exception):
    """Never calls `super().__init__`; its text comes from attributes."""

    def __init__(self, code: int, order: shop.Line) -> None:
        self.code = code
        self.order = order

    def __str__(self) -> str:
        return f"declined with {self.code} for {self.order.sku}"


@dataclasses.dataclass
class Failed(Exception):
    reason: str
    id: UUID


@attrs.define(auto_exc=True)
class AttrsFailed(Exception):
    reason: str


class Slotted(Exception):
    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Gateway(ConnectionError):
    """An OSError with arguments of its own."""

    def __init__(self, host: str, attempts: int) -> None:
        super().__init__(f"{host} did not answer")
        self.host = host
        self.attempts = attempts


class HoldsLock(Exception):
    """Keeps something that no store can hold; its text does not need it."""

    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


class ArgumentLost(Exception):
    """Its text comes from an attribute, its argument cannot be kept."""

    def __init__(self, connection: object) -> None:
        super().__init__(connection)
        self.text = "the connection is gone"

    def __str__(self) -> str:
        return self.text


class TextLost(Exception):
    """Its text needs what cannot be kept."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = object()

    def __str__(self) -> str:
        return f"on {type(self.connection)}"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Hostile(Exception):
    """Raises whenever it is looked at."""

    def __getattribute__(self, name: str) -> object:
        raise ZeroDivisionError(name)

    def __str__(self) -> str:
        raise ZeroDivisionError("text")

    __repr__ = __str__


class HoldsHostile(Exception):
    def __init__(self) -> None:
        super().__init__("held")
        self.inner = Hostile()


class Batch(ExceptionGroup[Exception]):
    def derive(self, excs: Any) -> Batch:
        return Batch(self.message, excs)


class FromFactory(Exception):
    def __new__(cls, *args: object) -> Self:
        if not args:
            raise TypeError("an argument is needed")
        return super().__new__(cls, *args)


def _raise(error: Exception) -> NoReturn:
    raise error


def _caught(action: Callable[[], object]) -> Exception:
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def _with_notes() -> Exception:
    error = ValueError("noted")
    error.add_note("first")
    error.add_note("second")
    return error


def _with_cause() -> Exception:
    def fail() -> None:
        try:
            _raise(KeyError("inner cause"))
        except KeyError as cause:
            raise OutOfStock("abc", wanted=2) from cause

    return _caught(fail)


def _http_status() -> Exception:
    request = httpx.Request("GET", "https://example.org/x")
    return _caught(httpx.Response(503, request=request).raise_for_status)


def _requests_status() -> Exception:
    response = requests.Response()
    response.status_code, response.reason, response.url = 404, "Not Found", "https://example.org"
    return _caught(response.raise_for_status)


def _database(action: str) -> Exception:
    def run() -> None:
        connection = sqlite3.connect(":memory:")
        try:
            connection.execute("CREATE TABLE t (a UNIQUE)")
            connection.execute("INSERT INTO t VALUES (1)")
            connection.execute(action)
        finally:
            connection.close()

    return _caught(run)


def _sqlalchemy() -> Exception:
    def run() -> None:
        engine = sqlalchemy.create_engine("sqlite://")
        try:
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text("SELECT :a FROM nowhere"), {"a": 1})
        finally:
            engine.dispose()

    return _caught(run)


def _request_info() -> aiohttp.RequestInfo:
    return aiohttp.RequestInfo(URL("http://x.org"), "GET", NONE, URL("http://x.org"))


SAME: dict[str, Callable[[], Exception]] = {
    "value": lambda: ValueError("bad", 1, None, UUID(int=3), ("a", {"b"})),
    "no arguments": ValueError,
    "key": lambda: _caught(lambda: {}["missing"]),
    "division": lambda: _caught(lambda: 1 // 0),
    "os error": lambda: OSError(5, "Input/output error", "/some/file"),
    "two files": lambda: OSError(18, "Cross-device link", "/a", None, "/b"),
    "file not found": lambda: _caught(Path("/no/such/file").read_text),
    "reset": lambda: ConnectionResetError(104, "Connection reset by peer"),
    "timeout": TimeoutError,
    "unicode decode": lambda: _caught(b"\xff".decode),
    "unicode encode": lambda: _caught(lambda: "é".encode("ascii")),
    "import": lambda: ImportError("cannot import", name="x", path="/y"),
    "no module": lambda: _caught(lambda: __import__("no_such_module")),
    "attribute": lambda: _caught(lambda: NONE.no_such),
    "name": lambda: _caught(lambda: eval("no_such_name")),
    "syntax": lambda: _caught(lambda: compile("a b", "file.py", "exec")),
    "stop": lambda: StopAsyncIteration("x"),
    "assertion": lambda: AssertionError({"a": [1, (2,)]}),
    "recursion": lambda: RecursionError("maximum recursion depth exceeded"),
    "group": lambda: ExceptionGroup("two", [ValueError("a"), OutOfStock("b", wanted=1)]),
    "nested group": lambda: ExceptionGroup(
        "outer", [ExceptionGroup("inner", [KeyError("k")]), TypeError("t")]
    ),
    "own group": lambda: Batch("batch", [ValueError("a")]),
    "notes": _with_notes,
    "json": lambda: _caught(lambda: json.loads("{")),
    "process": lambda: subprocess.CalledProcessError(3, ["ls", "-l"], b"out", "err"),
    "process timeout": lambda: subprocess.TimeoutExpired("ls", 1.5),
    "incomplete read": lambda: asyncio.IncompleteReadError(b"abc", 10),
    "limit overrun": lambda: asyncio.LimitOverrunError("too long", 5),
    "queue": asyncio.QueueEmpty,
    "invalid state": lambda: asyncio.InvalidStateError("not done"),
    "sqlite": lambda: _database("INSERT INTO t VALUES (1)"),
    "sqlite syntax": lambda: _database("NONSENSE"),
    "decimal": lambda: decimal.Overflow("too much"),
    "xml": lambda: _caught(lambda: ET.fromstring("<a>")),
    "config": lambda: configparser.NoOptionError("a", "b"),
    "zip": lambda: zipfile.BadZipFile("no"),
    "url": lambda: urllib.error.URLError("no route"),
    "httpx status": _http_status,
    "httpx timeout": lambda: httpx.ConnectTimeout("timed out"),
    "httpx connect": lambda: httpx.ConnectError(
        "no route", request=httpx.Request("GET", "https://example.org")
    ),
    "requests status": _requests_status,
    "requests connection": lambda: requests.ConnectionError("refused"),
    "requests timeout": lambda: requests.exceptions.ReadTimeout("slow"),
    "sqlalchemy": _sqlalchemy,
    "sqlalchemy no row": lambda: sqlalchemy.exc.NoResultFound("No row was found"),
    "sqlalchemy stale": lambda: sqlalchemy.orm.exc.StaleDataError("stale"),
    "aiohttp disconnected": aiohttp.ServerDisconnectedError,
    "aiohttp payload": lambda: aiohttp.ClientPayloadError("not complete"),
    "aiohttp url": lambda: aiohttp.InvalidURL("nonsense"),
    "msgspec": lambda: _caught(lambda: msgspec.json.decode(b"1", type=str)),
    "frozen": lambda: _caught(lambda: setattr(attrs.make_class("X", [], frozen=True)(), "a", 1)),
    "own": lambda: OutOfStock("abc", wanted=2),
    "own with cause": _with_cause,
    "own without arguments": lambda: Declined(5, shop.Line("s", 1, decimal.Decimal(2))),
    "own dataclass": lambda: Failed("why", UUID(int=1)),
    "own attrs": lambda: AttrsFailed("why"),
    "own slots": lambda: Slotted(5),
    "own os error": lambda: Gateway("host", 3),
    "own with a lock": HoldsLock,
    "own with a lost argument": lambda: ArgumentLost(object()),
    "holds hostile": HoldsHostile,
    "own new": lambda: FromFactory("x"),
    "unbroken": lambda: EffectFailed("gone:Error", "text"),
    "unbroken size": lambda: PayloadTooLarge(5, 4, "key"),
}

LOST: dict[str, Callable[[], Exception]] = {
    "pydantic": lambda: _caught(lambda: shop.Customer(name=NONE)),
    "aiohttp response": lambda: aiohttp.ClientResponseError(_request_info(), (), status=500),
    "class in the arguments": lambda: _caught(lambda: decimal.Decimal("x")),
    "text lost": TextLost,
    "mute": Mute,
    "hostile": Hostile,
    "hostile in arguments": lambda: ValueError(Hostile()),
    "object in the text": lambda: ValueError("a", object()),
    "surrogate": lambda: ValueError("\ud800"),
    "huge": lambda: ValueError("x" * 2_000_000),
    "group with a lost one": lambda: ExceptionGroup("two", [ValueError("a"), TextLost()]),
    "unbroken flow failed": lambda: FlowFailed("id", NONE),
}


def shown(error: Exception) -> list[str]:
    """Give class and text, those of a group's members too."""
    members = error.exceptions if isinstance(error, ExceptionGroup) else ()
    inner = [text for member in members for text in shown(member)]
    return [f"{type(error).__module__}:{type(error).__qualname__}", str(error), *inner]
