"""What one of the checkers cannot do; whoever lifts a limit finds its mark here."""

from abc import ABC, abstractmethod
from functools import partial
from typing import Any, assert_type

from unbroken import capture, flow, message


async def post(url: str, json: Any) -> int:
    return len(url)


async def get(url: str) -> dict[str, Any]:
    return {"url": url}


def put(url: str, json: Any) -> int:
    return len(url)


class Reply(ABC):
    @abstractmethod
    def text(self) -> str: ...


@flow
async def right_and_refused() -> None:
    assert_type(await capture(put, "a", {}), int)
    assert_type(await capture(post, "a", {}), int)  # refused by mypy: type
    assert_type(await capture(get, "a"), dict[str, Any])  # refused by mypy: type
    assert_type(await message(Reply), Reply)  # refused by mypy: type


@flow
async def wrong_and_let_through() -> None:
    await capture(partial(put, "a"), {}, {})  # refused by pyright: argument
