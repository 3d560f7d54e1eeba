"""What PostgreSQL and its driver complain of, as errors of ours.

An error that the server reports of a statement has undone all of it. A connection that ends, or a
server that ends it, says nothing of the statement under way.
"""

from __future__ import annotations

import asyncio

from unbroken.model.errors import (
    BatchRefused,
    ConfigurationError,
    OutcomeUnknown,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
    UnbrokenError,
)
from unbroken.stores.postgresql.driver import (
    InterfaceError,
    InternalClientError,
    PostgresConnectionError,
    PostgresError,
    state_of,
)
from unbroken.stores.transactions.transaction import DamagedRow

# What the driver and the database raise; anything else is a mistake of ours and stays as it is.
Complaint = (
    PostgresError,
    InterfaceError,
    InternalClientError,
    OSError,
    asyncio.TimeoutError,
    DamagedRow,
)

AGAIN = frozenset({"40001", "40P01", "55P03"})
DAMAGED = frozenset({"XX001", "XX002"})
NO_STATEMENT = frozenset({"26000", "42P05", "0A000"})
# Contents that the database refuses; what a program limit refuses would be refused again too.
CONTENTS = ("21", "22", "23", "54")
WRONG_ADDRESS = {
    "3D000": "there is no such database: create it first",
    "28P01": "the password is wrong",
    "28000": "the server lets this user or address not in",
}
ADVICE = {
    "25006": "the server is read-only: a standby, or default_transaction_read_only is on",
    "42501": "the user lacks a right: to CREATE in its schema, or to use the tables",
    "42P01": "a table of Unbroken is missing: was it dropped, or is the prefix another one?",
    "53300": "the server has no connection left: raise max_connections or use a pooler",
    "53100": "the server's disk is full",
    "57P03": "the server is starting or stopping",
}


def is_to_try_again(error: BaseException) -> bool:
    """Whether the server undid a transaction only because of others that ran beside it."""
    return isinstance(error, PostgresError) and state_of(error) in AGAIN


def ends_connection(error: BaseException) -> bool:
    """Whether the connection cannot be used any more."""
    if isinstance(error, (PostgresConnectionError, OSError, asyncio.TimeoutError)):
        return True
    if isinstance(error, PostgresError):
        return state_of(error)[:2] in {"57", "08"} or _severity(error) in {"FATAL", "PANIC"}
    return isinstance(error, (InterfaceError, InternalClientError))


def explain(error: BaseException, *, may_have_landed: bool = False) -> StoreError:
    """Turn a complaint into the error that says what the caller may do next."""
    if isinstance(error, DamagedRow):
        return StoreCorrupt(f"a stored row makes no sense ({error}): restore it from a backup")
    if ends_connection(error):
        if may_have_landed:
            return OutcomeUnknown(f"{_told(error)}: the connection ended before the answer came")
        return StoreUnavailable(f"{_told(error)}{_advice(error)}")
    if not isinstance(error, PostgresError):
        return StoreUnavailable(_told(error))
    state = state_of(error)
    if state in DAMAGED:
        return StoreCorrupt(f"{_told(error)}: the database is damaged: restore it from a backup")
    if state in NO_STATEMENT:
        return StoreUnavailable(
            f"{_told(error)}: behind a pooler in transaction mode say pooler=transaction"
        )
    if state.startswith(CONTENTS):
        return BatchRefused(_told(error))
    return StoreUnavailable(f"{_told(error)}{_advice(error)}")


def explain_connecting(error: BaseException, where: str) -> UnbrokenError:
    """Turn a failed attempt to connect into an error that says where, without a password."""
    state = state_of(error)
    if wrong := WRONG_ADDRESS.get(state):
        return ConfigurationError(f"PostgreSQL at {where} ({state}): {wrong}")
    if isinstance(error, (PostgresError, InterfaceError)):
        return StoreUnavailable(f"PostgreSQL at {where}: {_told(error)}{_advice(error)}")
    return StoreUnavailable(f"PostgreSQL at {where} cannot be reached: {type(error).__name__}")


def _severity(error: PostgresError) -> str | None:
    severity: str | None = getattr(error, "severity_en", None) or getattr(error, "severity", None)
    return severity


def _told(error: BaseException) -> str:
    """Say what happened. What the driver says of a value quotes it: never show that."""
    if isinstance(error, PostgresError):
        if _severity(error) is None and not ends_connection(error):
            return f"{type(error).__name__}: the driver cannot send a value"
        return f"{state_of(error)}: {error.args[0] if error.args else type(error).__name__}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _advice(error: BaseException) -> str:
    advice = ADVICE.get(state_of(error))
    return f": {advice}" if advice else ""
