"""Addresses of a Redis behind a proxy."""

from __future__ import annotations

from urllib.parse import urlsplit


def through(url: str, *, host: str, port: int) -> str:
    """Return the same Redis URL, with its password and database, at another host and port."""
    parts = urlsplit(url)
    who, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{who}{at}{host}:{port}").geturl()
