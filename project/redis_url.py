"""Checks of REDIS_URL, which redis-py and kombu parse.

They parse some addresses differently, so such an address is refused at boot. `broker_url` converts
the address of a Unix socket for kombu.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

_OF_TLS: Final = {
    "ssl_cert_reqs": ("required", "optional", "none"),
    "ssl_check_hostname": ("true", "false"),
    "ssl_ca_certs": None,
    "ssl_certfile": None,
    "ssl_keyfile": None,
}
"""Query arguments of `rediss://` with their allowed values. None allows any path."""


def checked(url: str) -> str:
    """Return the URL if redis-py and kombu parse it in the same way.

    Raises:
        ValueError: they do not. The message states the problem and does not contain the URL.
    """
    try:
        parts = urlsplit(url)
        found = next(_problems(parts), "")
    except ValueError:  # raised by urlsplit, or by its port
        found = "is not a URL: percent-encode special characters of the password"
    if found:
        raise ValueError(found)
    return url


def broker_url(url: str) -> str:
    """Return a checked URL in kombu's form.

    Kombu has its own scheme for Unix sockets, and verifies certificates only on request.

    >>> broker_url("unix:///run/redis.sock?db=1")
    'redis+socket:///run/redis.sock?virtual_host=1'
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "rediss":
        query.setdefault("ssl_cert_reqs", "required")
        return parts._replace(query=urlencode(query)).geturl()
    if parts.scheme != "unix":
        return url
    user = quote(query.get("username") or unquote(parts.username or ""), safe="")
    password = quote(query.get("password") or unquote(parts.password or ""), safe="")
    who = f"{user}:{password}@" if user or password else ""
    path = quote(unquote(parts.path), safe="/")
    return f"redis+socket://{who}{path}?virtual_host={query.get('db', '0')}"


def _problems(parts: SplitResult) -> Iterator[str]:
    query = parse_qsl(parts.query, keep_blank_values=True)
    if parts.fragment:
        yield "contains a #: write %23"
    if parts.scheme == "unix":
        yield from _of_unix(parts, query)
    else:
        yield from _of_tcp(parts, query)


def _of_unix(parts: SplitResult, query: list[tuple[str, str]]) -> Iterator[str]:
    if parts.hostname or parts.path in {"", "/"}:
        yield "has no absolute path: write unix:///run/redis/redis.sock?db=0"
    for name, value in query:
        if name == "db" and not _is_number(value):
            yield "has a db that is not a number"
        if name not in {"db", "username", "password"}:
            yield "has a query argument that is not one of db, username, password"


def _of_tcp(parts: SplitResult, query: list[tuple[str, str]]) -> Iterator[str]:
    if ";" in parts.geturl():  # kombu splits at semicolons
        yield "contains a semicolon: write %3B"
    if not parts.hostname or parts.port == 0:
        yield "has no host: write redis://host:6379/0"
    database = parts.path.removeprefix("/")
    if database and not _is_number(database):
        yield "has a database that is not a number: write redis://host:6379/0"
    if query and parts.scheme != "rediss":
        yield "has a query: the database is the path, and ssl_... is for rediss://"
    for name, value in query:
        if name not in _OF_TLS:
            yield f"has a query argument that is not one of {', '.join(_OF_TLS)}"
        elif (values := _OF_TLS[name]) and value not in values:
            yield f"has a {name} that is not one of {', '.join(values)}"
        elif not value:
            yield f"has an empty {name}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
