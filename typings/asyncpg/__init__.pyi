# The parts of the driver that this project uses; it comes without types of its own.

from collections.abc import Mapping
from typing import Any

__version__: str

class PostgresError(Exception):
    sqlstate: str

class PostgresConnectionError(PostgresError): ...
class InterfaceError(Exception): ...
class InternalClientError(Exception): ...

async def connect(
    dsn: str | None = None,
    *,
    timeout: float = 60,
    statement_cache_size: int = 100,
    max_cached_statement_lifetime: int = 300,
    server_settings: Mapping[str, str] | None = None,
    **more: Any,
) -> Any: ...
def __getattr__(name: str) -> Any: ...
