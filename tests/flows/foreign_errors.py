"""A program whose flows meet errors of other libraries; run it, kill it, run it again.

`python -m tests.flows.foreign_errors URL` starts one flow for each kind of error, prints what each
`except` clause caught, and kills itself. With `again` it takes the flows over and prints the same.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta

import aiohttp
import attrs
import httpx
import msgspec
import pydantic
import requests
import sqlalchemy.exc
from aiohttp.client_reqrep import RequestInfo
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from unbroken import EffectFailed, Unbroken, capture, flow, message

REQUEST = httpx.Request("POST", "https://shop.example/orders")


class OutOfStock(Exception):
    """Its constructor takes what its arguments do not hold."""

    def __init__(self, item: str, *, wanted: int) -> None:
        super().__init__(f"{item}: {wanted} wanted")
        self.item = item
        self.wanted = wanted


@attrs.frozen
class Frozen:
    n: int


class Model(pydantic.BaseModel):
    n: int


def _response_error() -> Exception:
    headers = CIMultiDictProxy(CIMultiDict[str]())
    info = RequestInfo(URL("https://shop.example"), "GET", headers, URL("https://shop.example"))
    return aiohttp.ClientResponseError(info, (), status=502, message="Bad Gateway")


def _invalid() -> None:
    Model.model_validate({"n": "seven"})


def _frozen() -> None:
    setattr(Frozen(1), "n", 2)  # noqa: B010  a type checker refuses the assignment


def _no_json() -> None:
    response = requests.Response()
    response.status_code, response._content = 200, b"<html>"
    response.json()


def raising(error: Exception) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


# What the body does, and the class that the flow's `except` names.
SAME_CLASS: dict[str, tuple[Callable[[], None], type[Exception]]] = {
    "httpx.ConnectTimeout": (
        raising(httpx.ConnectTimeout("timed out", request=REQUEST)),
        httpx.TimeoutException,
    ),
    "httpx.HTTPStatusError": (
        raising(httpx.HTTPStatusError("502", request=REQUEST, response=httpx.Response(502))),
        httpx.HTTPStatusError,
    ),
    "httpx.InvalidURL": (raising(httpx.InvalidURL("no scheme")), httpx.InvalidURL),
    "requests.ConnectionError": (
        raising(requests.ConnectionError("refused")),
        requests.RequestException,
    ),
    "requests.HTTPError": (
        raising(requests.HTTPError("502", response=requests.Response())),
        requests.HTTPError,
    ),
    "requests.JSONDecodeError": (_no_json, requests.JSONDecodeError),
    "sqlalchemy.NoResultFound": (
        raising(sqlalchemy.exc.NoResultFound("no row")),
        sqlalchemy.exc.NoResultFound,
    ),
    "sqlalchemy.IntegrityError": (
        raising(sqlalchemy.exc.IntegrityError("INSERT", {"n": 1}, ValueError("duplicate"))),
        sqlalchemy.exc.DBAPIError,
    ),
    "aiohttp.ClientConnectionError": (
        raising(aiohttp.ClientConnectionError("reset")),
        aiohttp.ClientError,
    ),
    "aiohttp.ServerTimeoutError": (
        raising(aiohttp.ServerTimeoutError("too slow")),
        aiohttp.ServerTimeoutError,
    ),
    "aiohttp.ClientPayloadError": (
        raising(aiohttp.ClientPayloadError("cut off")),
        aiohttp.ClientPayloadError,
    ),
    "attrs.FrozenInstanceError": (_frozen, attrs.exceptions.FrozenInstanceError),
    "attrs.NotAnAttrsClassError": (
        raising(attrs.exceptions.NotAnAttrsClassError("int")),
        attrs.exceptions.NotAnAttrsClassError,
    ),
    "msgspec.ValidationError": (
        raising(msgspec.ValidationError("Expected int")),
        msgspec.MsgspecError,
    ),
    "own class": (raising(OutOfStock("book", wanted=3)), OutOfStock),
    "OSError": (raising(FileNotFoundError(2, "No such file", "orders.txt")), OSError),
    "KeyError": (raising(KeyError("order")), LookupError),
    "group": (raising(ExceptionGroup("two", [ValueError("a"), KeyError("b")])), ExceptionGroup),
}

# Errors that cannot be rebuilt faithfully are the same EffectFailed, first and again.
EFFECT_FAILED: dict[str, tuple[Callable[[], None], type[Exception]]] = {
    "pydantic.ValidationError": (_invalid, EffectFailed),
    "aiohttp.ClientResponseError": (raising(_response_error()), EffectFailed),
}

KINDS = SAME_CLASS | EFFECT_FAILED

Caught = dict[str, tuple[str, str]]
caught: Caught = {}
all_caught = asyncio.Event()


@flow
async def failing(kind: str) -> None:
    body, expected = KINDS[kind]
    try:
        await capture("body", body)
    except expected as error:
        caught[kind] = (type(error).__name__, str(error))
    except Exception as error:
        caught[kind] = (f"missed: {type(error).__name__}", str(error))
    if len(caught) == len(KINDS):
        all_caught.set()
    await message(str)


async def first(url: str) -> None:
    app = Unbroken(url, lease=timedelta(seconds=1))
    flows = app.register(failing)
    await app.start()
    for kind in KINDS:
        await flows.schedule(kind, kind)
    await all_caught.wait()
    report(caught)
    os.kill(os.getpid(), signal.SIGKILL)


async def again(url: str) -> None:
    app = Unbroken(url, lease=timedelta(seconds=1))
    flows = app.register(failing)
    async with app:
        for kind in KINDS:
            await flows.send_message(kind, "go on")
        for kind in KINDS:
            await flows.completion(kind)
    report(caught)


def report(found: Iterable[str]) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    url, *rest = sys.argv[1:]
    asyncio.run(again(url) if rest else first(url))
