"""Validators of addresses in the environment. An error is a sentence without the value."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr
from sentry_sdk.utils import BadDsn, Dsn

LAST_PORT: Final = 65_535
_WEB: Final = {"http", "https"}


def web(url: str) -> str:
    """Return the URL.

    Raises:
        ValueError: the scheme is not http or https, or there is no host.
    """
    if not _is_web(url):
        raise ValueError("is not a web address: write https://host or http://host:port")
    return url


def web_or_empty(url: str) -> str:
    """Return the URL if it is empty or `web` accepts it."""
    return web(url) if url else url


def origins(found: list[str]) -> list[str]:
    """Return the origins.

    Raises:
        ValueError: one has no scheme or host, or has a path, a query or a fragment.
    """
    for origin in found:
        if not _is_web(origin) or urlsplit(origin)[2:] != ("", "", ""):
            raise ValueError("a part is not an origin: write https://app.example, without a path")
    return found


def database(url: str) -> str:
    """Return the libpq URI.

    Raises:
        ValueError: libpq cannot read it, a host or port is invalid, or the database is missing.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise ValueError(
            "is not a libpq URI: write postgresql://user:password@host:5432/database and"
            " percent-encode special characters of the password"
        ) from None
    ports = [port for port in str(parts.get("port") or "").split(",") if port]
    if "@" in str(parts.get("host") or "") or not all(_is_port(port) for port in ports):
        raise ValueError("has an @ in its host or an invalid port: percent-encode an @")
    if not parts.get("dbname") and not parts.get("service"):
        raise ValueError("has no database name: write postgresql://user@host:5432/database")
    return url


def dsn(value: SecretStr) -> SecretStr:
    """Return the DSN.

    Raises:
        ValueError: Sentry's client cannot read it.
    """
    try:
        Dsn(value.get_secret_value())
    except BadDsn:
        raise ValueError("is not a Sentry DSN: copy it from the project's settings") from None
    return value


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) <= LAST_PORT


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in _WEB and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
