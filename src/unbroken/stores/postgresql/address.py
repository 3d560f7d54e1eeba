"""Where the database is and how it is to be used: checked before anything is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import msgspec

from unbroken.model.errors import ConfigurationError
from unbroken.stores.postgresql.catalogue import PREFIX, check_prefix

SCHEMES = ("postgresql", "postgres")
OURS = ("prefix", "pooler", "notify", "patience", "listen_url", "accept_loss")
SWITCHES = ("notify", "accept_loss")
SWITCH = {"on": True, "off": False}
# These are the driver's; whatever else a URL says is a setting of the server for the session.
DRIVER = frozenset({"sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile", "host"})


class PostgreSQL(msgspec.Struct, frozen=True, kw_only=True):
    """A PostgreSQL database and how to use it: `Unbroken(PostgreSQL(url="postgresql://…"))`.

    `prefix` begins the name of every table. `pooler="transaction"` is for a pooler that gives each
    transaction another connection (PgBouncer): no prepared statements, and wake-ups only through
    `listen_url`, an address of the server itself. `notify=False` turns wake-ups off; polls find
    everything. `patience` is how many seconds an answer may take before the connection is given
    up. `accept_loss=True` says that a server which may lose what it has committed is good enough:
    without it at-most-once effects are refused there. All of them may stand in the URL, as in
    `postgresql://…/shop?prefix=shop_&pooler=transaction`.
    Raises ConfigurationError, without the password, for what cannot work.
    """

    url: str
    prefix: str = PREFIX
    pooler: Literal["transaction"] | None = None
    listen_url: str | None = None
    notify: bool = True
    patience: float = 10.0
    accept_loss: bool = False

    def __post_init__(self) -> None:
        """Check it all."""
        _check_url(self.url, "url")
        check_prefix(self.prefix)
        if self.pooler not in {None, "transaction"}:
            raise ConfigurationError(
                f"pooler: can be 'transaction', not {self.pooler!r}; leave it out without a pooler"
            )
        if self.listen_url is not None:
            _check_url(self.listen_url, "listen_url")
        if not self.patience > 0:
            raise ConfigurationError("patience: is a positive number of seconds")


def read_url(url: str) -> PostgreSQL:
    """Take our own settings out of a URL. Raises ConfigurationError."""
    base, _, query = url.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    ours = {name: value for name, value in pairs if name in OURS}
    rest = "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs if name not in OURS)
    clean = f"{base}?{rest}" if rest else base
    settings: dict[str, Any] = {**ours}
    for name in SWITCHES:
        if name in ours:
            if ours[name] not in SWITCH:
                raise ConfigurationError(f"{name}: is on or off")
            settings[name] = SWITCH[ours[name]]
    if "patience" in ours:
        try:
            settings["patience"] = float(ours["patience"])
        except ValueError:
            raise ConfigurationError("patience: is a number of seconds") from None
    return PostgreSQL(url=clean, **settings)


def place_of(url: str) -> str:
    """Say where a URL leads, without user and password."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'the local socket'}:{parts.port or 5432}{parts.path}"


def driver_arguments(url: str) -> tuple[str, Mapping[str, str]]:
    """Give the URL for the driver and the server's settings for the session."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    kept = "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs if name in DRIVER)
    settings = {name: value for name, value in pairs if name not in DRIVER}
    return parts._replace(query=kept).geturl(), settings


def _check_url(url: str, what: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises if it is no number
    except ValueError:
        raise ConfigurationError(f"{what}: is no URL that can be read; {_EXAMPLE}") from None
    if parts.scheme not in SCHEMES:
        raise ConfigurationError(f"{what}: must begin with postgresql://; {_EXAMPLE}")
    if parts.fragment:
        raise ConfigurationError(f"{what}: write # as %23; {_EXAMPLE}")
    if "\0" in unquote(url):
        raise ConfigurationError(f"{what}: holds a NUL; {_EXAMPLE}")


_EXAMPLE = "an example: postgresql://user:password@host:5432/database"
