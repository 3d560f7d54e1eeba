"""Signals: how the engine leaves user code. They are not errors, so `except Exception` misses them."""


class Signal(BaseException):
    """Base of the engine's control flow. Never catch it."""


class Suspended(Signal):
    """The incarnation is over: its journal is sealed and the flow left memory."""


def is_signal(error: BaseException) -> bool:
    """Whether an exception is a signal, alone or inside a group (a TaskGroup wraps it)."""
    if isinstance(error, BaseExceptionGroup):
        inner: tuple[BaseException, ...] = error.exceptions
        return any(map(is_signal, inner))
    return isinstance(error, Signal)
