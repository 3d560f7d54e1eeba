"""Signals: how the engine leaves user code. No errors: `except Exception` does not see them."""


class Signal(BaseException):
    """Base of the engine's control flow. Never catch it."""


class Suspended(Signal):
    """The incarnation is over: its journal is sealed and the flow left memory."""


def is_signal(error: BaseException) -> bool:
    """Whether an exception is a signal, alone or inside a group (a TaskGroup wraps it)."""
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return isinstance(error, Signal) or any(map(is_signal, inner))
