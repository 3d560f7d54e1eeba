"""When to try an effect again. Pure: an attempt and its error in, a delay or None out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from unbroken.model.errors import ConfigurationError

Retryable = type[BaseException] | tuple[type[BaseException], ...] | Callable[[Exception], bool]


class Retry:
    """How often, and how long apart, a failed effect is tried again.

    `max_attempts` counts the first try; the count survives crashes. The delay doubles (`backoff`)
    from `initial_delay` up to `max_delay`, or stays if that is shorter; `jitter` takes away up to
    that share of it by chance.
    `retry_if` is a class, a tuple of classes or a predicate of the error. `delay(error, attempt)`
    may choose the delay by the error; None falls back on the rule. A delay above `suspend_above` is
    waited for outside of memory.
    """

    __slots__ = (
        "backoff",
        "delay",
        "initial_delay",
        "jitter",
        "max_attempts",
        "max_delay",
        "retry_if",
        "suspend_above",
    )

    def __init__(
        self,
        max_attempts: int = 5,
        *,
        initial_delay: timedelta = timedelta(seconds=1),
        backoff: float = 2.0,
        max_delay: timedelta = timedelta(minutes=5),
        jitter: float = 0.1,
        retry_if: Retryable = Exception,
        delay: Callable[[Exception, int], timedelta | None] | None = None,
        suspend_above: timedelta = timedelta(seconds=5),
    ) -> None:
        if max_attempts < 1:
            raise ConfigurationError(f"Retry(max_attempts={max_attempts}): at least 1")
        if backoff < 1:
            raise ConfigurationError(f"Retry(backoff={backoff}): at least 1, which is constant")
        if not 0 <= jitter <= 1:
            raise ConfigurationError(f"Retry(jitter={jitter}): a share between 0 and 1")
        if initial_delay < timedelta(0) or max_delay < timedelta(0):
            raise ConfigurationError("Retry: delays must not be negative")
        self.max_attempts = max_attempts
        self.initial_delay = initial_delay
        self.backoff = backoff
        self.max_delay = max(max_delay, initial_delay)
        self.jitter = jitter
        self.retry_if = retry_if
        self.delay = delay
        self.suspend_above = suspend_above

    def next_delay(self, error: Exception, attempt: int, chance: float) -> timedelta | None:
        """Say how long to wait after failed attempt number `attempt`; None: give up.

        `chance` is a float in [0, 1), for the jitter.
        """
        if attempt >= self.max_attempts or not self._is_retryable(error):
            return None
        if self.delay is not None:
            chosen = self.delay(error, attempt)
            if chosen is not None:
                return max(chosen, timedelta(0))
        return self._ruled_delay(attempt) * (1 - self.jitter * chance)

    def _ruled_delay(self, attempt: int) -> timedelta:
        delay = self.initial_delay
        for _ in range(attempt - 1):
            if delay >= self.max_delay or self.backoff == 1:
                break
            delay *= self.backoff
        return min(delay, self.max_delay)

    def _is_retryable(self, error: Exception) -> bool:
        rule = self.retry_if
        return isinstance(error, rule) if isinstance(rule, type | tuple) else rule(error)
