"""Values that are one word of text: how they are written when JSON types do not fit them."""

from __future__ import annotations

import ipaddress
import pathlib
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

_FOLD: Final = " fold"


class Scalar(NamedTuple):
    """How one class is written as text, and read."""

    write: Callable[[Any], str]
    read: Callable[[str], object]


def _write_moment(value: datetime | time) -> str:
    return value.isoformat() + (_FOLD if value.fold else "")


def _read_datetime(text: str) -> datetime:
    moment = datetime.fromisoformat(text.removesuffix(_FOLD))
    return moment.replace(fold=1) if text.endswith(_FOLD) else moment


def _read_time(text: str) -> time:
    moment = time.fromisoformat(text.removesuffix(_FOLD))
    return moment.replace(fold=1) if text.endswith(_FOLD) else moment


def _write_timedelta(value: timedelta) -> str:
    return f"{value.days} {value.seconds} {value.microseconds}"


def _read_timedelta(text: str) -> timedelta:
    days, seconds, microseconds = map(int, text.split(" "))
    return timedelta(days, seconds, microseconds)


SCALARS: Final[dict[type, Scalar]] = {
    UUID: Scalar(str, UUID),
    Decimal: Scalar(str, Decimal),
    datetime: Scalar(_write_moment, _read_datetime),
    date: Scalar(date.isoformat, date.fromisoformat),
    time: Scalar(_write_moment, _read_time),
    timedelta: Scalar(_write_timedelta, _read_timedelta),
    bytes: Scalar(bytes.hex, bytes.fromhex),
    bytearray: Scalar(bytearray.hex, bytearray.fromhex),
    complex: Scalar(repr, complex),
    pathlib.PosixPath: Scalar(str, pathlib.PosixPath),
    pathlib.WindowsPath: Scalar(str, pathlib.WindowsPath),
    pathlib.PurePosixPath: Scalar(str, pathlib.PurePosixPath),
    pathlib.PureWindowsPath: Scalar(str, pathlib.PureWindowsPath),
    pathlib.Path: Scalar(str, pathlib.Path),
    pathlib.PurePath: Scalar(str, pathlib.PurePath),
    ipaddress.IPv4Address: Scalar(str, ipaddress.IPv4Address),
    ipaddress.IPv6Address: Scalar(str, ipaddress.IPv6Address),
}
