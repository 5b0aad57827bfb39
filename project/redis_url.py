"""REDIS_URL has two readers, redis-py and kombu, and they read some addresses differently.

What they would read differently is refused at boot. A Unix socket is written for each of them.
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
"""Query arguments of `rediss://` and their values; None: a path."""


def checked(url: str) -> str:
    """Return the URL if both readers take it and read the same in it.

    Raises:
        ValueError: a sentence about what is wrong. It does not contain the URL.
    """
    try:
        parts = urlsplit(url)
        found = next(_problems(parts), "")
    except ValueError:  # of urlsplit, or of its port
        found = "is no URL: percent-encode special characters of the password"
    if found:
        raise ValueError(found)
    return url


def broker_url(url: str) -> str:
    """Return a checked URL as kombu reads it.

    kombu has a scheme of its own for Unix sockets, and it verifies no certificate unless told to.

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
        yield "holds a #: write %23"
    if parts.scheme == "unix":
        yield from _of_unix(parts, query)
    else:
        yield from _of_tcp(parts, query)


def _of_unix(parts: SplitResult, query: list[tuple[str, str]]) -> Iterator[str]:
    if parts.hostname or parts.path in {"", "/"}:
        yield "names no absolute path: write unix:///run/redis/redis.sock?db=0"
    for name, value in query:
        if name == "db" and not _is_number(value):
            yield "has a db that is no number"
        if name not in {"db", "username", "password"}:
            yield "has another query argument than db, username and password"


def _of_tcp(parts: SplitResult, query: list[tuple[str, str]]) -> Iterator[str]:
    if ";" in parts.geturl():  # kombu splits there
        yield "holds a semicolon: write %3B"
    if not parts.hostname or parts.port == 0:
        yield "names no host: write redis://host:6379/0"
    database = parts.path.removeprefix("/")
    if database and not _is_number(database):
        yield "names a database that is no number: write redis://host:6379/0"
    if query and parts.scheme != "rediss":
        yield "has a query: the database is the path, and ssl_... is for rediss://"
    for name, value in query:
        if name not in _OF_TLS:
            yield f"has another query argument than {', '.join(_OF_TLS)}"
        elif (values := _OF_TLS[name]) and value not in values:
            yield f"has a {name} that is not one of {', '.join(values)}"
        elif not value:
            yield f"has an empty {name}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
