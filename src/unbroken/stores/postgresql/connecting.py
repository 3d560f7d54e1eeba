"""Opens connections as this store wants them."""

from __future__ import annotations

from collections.abc import Mapping

from unbroken.model.errors import StoreUnavailable
from unbroken.stores.postgresql.address import PostgreSQL, driver_arguments, place_of
from unbroken.stores.postgresql.driver import Connection, InterfaceError, PostgresError, connect
from unbroken.stores.postgresql.faults import explain_connecting

# Every statement of ours finds its rows by an index. While a table is small the planner thinks
# otherwise, and a session would keep that plan after it has grown. So nothing is left to choose,
# and one plan serves all arrays, however long: planning would cost more than running.
PLANS = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
# A process that is frozen in the middle of a transaction must not sit on its locks.
LONGEST_PAUSE = {"idle_in_transaction_session_timeout": "10s", "lock_timeout": "0"}
STATEMENTS = 200
FAILURES = (PostgresError, InterfaceError, OSError, TimeoutError, ValueError)


class Connector:
    """Opens connections to the address, or to its `listen_url`."""

    def __init__(self, address: PostgreSQL, *, name: str = "unbroken") -> None:
        self._address = address
        self._name = name
        self._pooled = address.pooler is not None
        # Through a pooler the session is somebody else's: each transaction sets this for itself.
        self.begin = begin_with(PLANS | LONGEST_PAUSE) if self._pooled else "BEGIN"

    async def connect(self) -> Connection:
        """Connect for statements; raises StoreUnavailable, ConfigurationError."""
        settings: Mapping[str, str] = {} if self._pooled else PLANS | LONGEST_PAUSE
        return await self._open(self._address.url, settings, 0 if self._pooled else STATEMENTS)

    async def connect_to_listen(self) -> Connection:
        """Connect where notifications arrive."""
        return await self._open(self._address.listen_url or self._address.url, {}, 0)

    async def _open(self, url: str, settings: Mapping[str, str], statements: int) -> Connection:
        dsn, of_url = driver_arguments(url)
        wanted: dict[str, str] = {**of_url, **settings}
        if not self._pooled:
            wanted.setdefault("application_name", self._name)
        try:
            connection = await connect(
                dsn, timeout=self._address.patience, statements=statements, settings=wanted
            )
        except FAILURES as error:
            raise explain_connecting(error, place_of(url)) from error
        if connection.is_closed():
            raise StoreUnavailable(f"PostgreSQL at {place_of(url)} ended the connection at once")
        return connection


def begin_with(settings: Mapping[str, str]) -> str:
    """Give the statements that begin a transaction with settings of its own."""
    local = (f"SET LOCAL {name} = '{value}'" for name, value in settings.items())
    return "; ".join(("BEGIN", *local))
