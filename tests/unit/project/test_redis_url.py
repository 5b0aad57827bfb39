"""REDIS_URL: redis-py and kombu read the same in it, or it is refused."""

from __future__ import annotations

import ssl
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection
from kombu.transport import redis as kombu_redis
from redis.connection import UnixDomainSocketConnection, parse_url

from project import redis_url

words = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=12)
databases = st.integers(0, 63)


def kombu_reads(url: str) -> dict[str, Any]:
    """How kombu connects to a broker URL."""
    connection = Connection(redis_url.broker_url(url))
    channel: Any = object.__new__(kombu_redis.Channel)
    channel.connection = SimpleNamespace(client=connection, default_port=6379)
    found: dict[str, Any] = channel._connparams()
    return found


def same(url: str, *names: str) -> dict[str, Any]:
    """The values that both readers find under these names. They must agree."""
    redis_url.checked(url)
    ours, theirs = parse_url(url), kombu_reads(url)  # type: ignore[no-untyped-call]
    defaults = {"db": 0, "port": 6379}
    read = {name: ours.get(name, defaults.get(name)) for name in names}
    assert read == {name: theirs.get(name) for name in names}, url
    return read


def userinfo(user: str, password: str) -> str:
    return f"{quote(user, safe='')}:{quote(password, safe='')}@"


@given(user=st.just("") | words, password=words, database=databases, port=st.integers(1, 65_535))
def test_a_tcp_address_means_the_same_to_both(
    user: str, password: str, database: int, port: int
) -> None:
    url = f"redis://{userinfo(user, password)}cache.example:{port}/{database}"
    found = same(url, "host", "port", "db", "username", "password")
    assert found == {
        "host": "cache.example",
        "port": port,
        "db": database,
        "username": user or None,
        "password": password,
    }


@given(
    path=st.lists(words.filter(lambda word: "/" not in word), min_size=1, max_size=3),
    user=st.just("") | words,
    password=words,
    database=databases,
    in_query=st.booleans(),
)
def test_a_unix_socket_means_the_same_to_both(
    path: list[str], user: str, password: str, database: int, *, in_query: bool
) -> None:
    place = "/" + "/".join(path)
    url = f"unix://{'' if in_query else userinfo(user, password)}{quote(place)}?db={database}"
    if in_query:
        url += f"&password={quote(password, safe='')}"
        url += f"&username={quote(user, safe='')}" if user else ""
    found = same(url, "path", "db", "username", "password")
    assert found == {
        "path": place,
        "db": database,
        "username": user or None,
        "password": password,
    }
    assert issubclass(kombu_reads(url)["connection_class"], UnixDomainSocketConnection)


@pytest.mark.parametrize(
    ("query", "requires"),
    [
        ("", ssl.CERT_REQUIRED),
        ("?ssl_cert_reqs=required", ssl.CERT_REQUIRED),
        ("?ssl_cert_reqs=none", ssl.CERT_NONE),
        ("?ssl_ca_certs=/etc/ca.pem", ssl.CERT_REQUIRED),
    ],
)
def test_workers_verify_the_certificate_of_redis_by_default(
    query: str, requires: ssl.VerifyMode
) -> None:
    found = kombu_reads(redis_url.checked(f"rediss://cache.example:6380/0{query}"))
    given = found["ssl_cert_reqs"]
    names = {"required": ssl.CERT_REQUIRED, "none": ssl.CERT_NONE}
    assert names.get(given, given) == requires
    assert found.get("ssl_ca_certs") == ("/etc/ca.pem" if "ca.pem" in query else None)


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://:password@/0",
        "redis://cache:port/0",
        "redis://cache:99999/0",
        "redis://cache:0/0",
        "redis://cache/first",
        "redis://cache/0/1",
        "redis://cache/٣",
        "redis://cache/0?db=1",
        "redis://cache/0?socket_timeout=1",
        "redis://cache/0?ssl_cert_reqs=none",
        "redis://a;b@cache/0",
        "redis://cache/0#fragment",
        "redis://[::1/0",
        "rediss://cache/0?ssl_cert_reqs=maybe",
        "rediss://cache/0?ssl_min_version=3",
        "rediss://cache/0?ssl_ca_certs=",
        "unix://",
        "unix:///",
        "unix://run/redis.sock",
        "unix:///run/redis.sock?db=first",
        "unix:///run/redis.sock?virtual_host=1",
    ],
)
def test_an_address_that_they_would_read_differently_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has|contains) "):
        redis_url.checked(url)


@given(scheme=st.sampled_from(["redis", "rediss", "unix"]), rest=st.text(max_size=40))
def test_any_address_that_is_taken_can_be_read_by_both(scheme: str, rest: str) -> None:
    url = f"{scheme}://{rest}"
    try:
        redis_url.checked(url)
    except ValueError:
        return
    place = ("path",) if scheme == "unix" else ("host", "port")
    same(url, *place, "db", "username", "password")
