"""Check the services that environment variables name in place of the embedded ones."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import redis
from psycopg.conninfo import conninfo_to_dict

from project import redis_url
from project.database import session
from project.stack.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S = 3
PROVIDER_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class External:
    """The services that the environment names. None means an embedded one."""

    database_url: str | None
    redis_url: str | None
    api_key: str | None
    base_url: str | None

    @property
    def sandbox(self) -> bool:
        """Return whether the sandbox provider is needed."""
        return self.api_key is None and self.base_url is None


def external_services(environ: Mapping[str, str]) -> External:
    """Read the environment and connect to each service that it names.

    Raises:
        ConfigError: one line with the variable, the host, the cause and the fix.
    """
    found = External(
        environ.get("DATABASE_URL") or None,
        environ.get("REDIS_URL") or None,
        environ.get("ANTHROPIC_API_KEY") or None,
        environ.get("ANTHROPIC_BASE_URL") or None,
    )
    if found.database_url:
        _try_database(found.database_url)
    if found.redis_url:
        _try_redis(found.redis_url)
    if found.base_url:
        _try_provider(found.base_url)
    return found


def _try_database(url: str) -> None:
    place = "the given address"
    if not url.startswith(("postgresql://", "postgres://")):
        url = "not an address"  # libpq accepts other forms, the settings do not
    try:
        parts = conninfo_to_dict(url)
        place = f"{parts.get('host') or 'the default socket'}:{parts.get('port') or 5432}"
        # The messages of libpq do not contain the password.
        session.try_connect(url, connect_timeout=TIMEOUT_S)
    except psycopg.ProgrammingError:
        raise ConfigError(
            "DATABASE_URL is not a PostgreSQL address: write postgresql://user@host:5432/database, "
            "or unset it for the embedded one"
        ) from None
    except session.UnfitDatabaseError as error:
        raise ConfigError(f"DATABASE_URL: {_one_line(error)}") from None
    except psycopg.OperationalError as error:
        raise ConfigError(
            f"DATABASE_URL: no PostgreSQL at {place} ({_one_line(error)}): start it, correct the "
            "variable, or unset it for the embedded one"
        ) from None


def _try_redis(url: str) -> None:
    try:
        if url.startswith(("redis://", "rediss://", "unix://")):
            redis_url.checked(url)
    except ValueError as error:
        raise ConfigError(f"REDIS_URL {error}, or unset it for the embedded one") from None
    parts = urlsplit(url)
    place = f"{parts.hostname}:{_port(parts.netloc, 6379)}" if parts.hostname else parts.path
    try:
        with redis.Redis.from_url(
            url, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S
        ) as client:
            client.ping()
    except ValueError:
        raise ConfigError(
            "REDIS_URL is not a Redis address: write redis://host:6379/0, or unset it for the "
            "embedded one"
        ) from None
    except redis.RedisError as error:
        raise ConfigError(
            f"REDIS_URL: no Redis at {place} ({_one_line(error)}): start it, correct the variable, "
            "or unset it for the embedded one"
        ) from None


def _try_provider(url: str) -> None:
    parts = urlsplit(url)
    default = PROVIDER_PORTS.get(parts.scheme)
    if default is None or not parts.hostname:
        raise ConfigError(
            "ANTHROPIC_BASE_URL is not a web address: write http://host:port or https://host, or "
            "unset it"
        )
    try:
        port = parts.port or default
    except ValueError:
        raise ConfigError(
            "ANTHROPIC_BASE_URL has a port that is no number: correct the variable, or unset it"
        ) from None
    try:
        socket.create_connection((parts.hostname, port), timeout=TIMEOUT_S).close()
    except OSError as error:
        raise ConfigError(
            f"ANTHROPIC_BASE_URL: nobody answers at {parts.hostname}:{port} ({_one_line(error)}): "
            "start it, correct the variable, or unset it (without ANTHROPIC_API_KEY the sandbox "
            "provider answers)"
        ) from None


def _port(netloc: str, default: int) -> int:
    try:
        return urlsplit(f"//{netloc}").port or default
    except ValueError:
        return default


def _one_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return " ".join(text.splitlines()[0].split())
