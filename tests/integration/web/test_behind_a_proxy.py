"""The web server behind a proxy distinguishes visitors, and none can choose an address."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.db.models.signals import post_save
from hypothesis import example, given
from hypothesis import strategies as st

from project.forwarded import Forwarded
from project.log_flood import PER_MINUTE
from project.proxies import networks
from tests.contract.settings_servers import UnixConnection
from tests.integration.fuzz.asgi import Site, Visit
from tests.integration.fuzz.conftest import CSRF
from tests.integration.fuzz.values import SHARP, thorough
from tests.product import Process, started

pytestmark = pytest.mark.slow

LOGIN = "/accounts/login/"
FORM = f"username=carol&password=wrong&csrfmiddlewaretoken={CSRF}".encode()
OF_THE_FORM = (
    (b"cookie", f"csrftoken={CSRF}".encode()),
    (b"content-type", b"application/x-www-form-urlencoded"),
    (b"content-length", str(len(FORM)).encode()),
)

junk = (
    st.sampled_from((*SHARP, "unknown", "_x", "[::1]:80", "1.2.3.4:5", "fe80::1%eth0", '"[::1]"'))
    | st.ip_addresses().map(str)
    | st.text(max_size=20)
)


def as_header(entries: list[str]) -> bytes:
    """Encode as a server does: without control characters, and within its length limit."""
    raw = ", ".join(entries).encode("utf-8", "surrogatepass")[:60_000]
    return bytes(byte for byte in raw if byte >= 32 and byte != 127)


@pytest.fixture
def site(db: None) -> Site:
    """The site behind a trusted proxy on this machine."""
    found = Site()
    inner: Any = found._handler.handle
    behind: Any = SimpleNamespace(handle=Forwarded(inner, networks("127.0.0.1, 10.0.0.0/8")))
    found._handler = behind
    return found


class FromSocket(Visit):
    """A request that came over a Unix socket."""

    def scope(self) -> dict[str, Any]:
        """Return the scope of uvicorn: without a client."""
        return {**super().scope(), "client": None, "server": ("/run/web.sock", None)}


@thorough(60)
@given(kind=st.sampled_from([Visit, FromSocket]), entries=st.lists(junk, max_size=6))
@example(Visit, ["unknown"])
@example(FromSocket, ["unknown"])
@example(Visit, ["10.0.0.1"] * 1_000)
@example(FromSocket, ["203.0.113.5"] * 1_000)
def test_no_header_breaks_a_sign_in(site: Site, kind: type[Visit], entries: list[str]) -> None:
    headers = (*OF_THE_FORM, (b"x-forwarded-for", as_header(entries)))
    answer = site.visit(kind(LOGIN.encode(), "POST", headers, FORM))
    assert answer.is_fine, answer
    assert answer.status in {200, 429}


def test_failures_behind_a_proxy_are_counted_by_the_visitors_address(site: Site) -> None:
    seen: list[str | None] = []

    def keep(sender: object, instance: AccessAttempt, **_: object) -> None:
        seen.append(instance.ip_address)

    post_save.connect(keep, sender=AccessAttempt)
    try:
        for address in ("203.0.113.5", "203.0.113.6"):
            named = (b"x-forwarded-for", f"1.1.1.1, {address}".encode())
            assert site.visit(
                FromSocket(LOGIN.encode(), "POST", (*OF_THE_FORM, named), FORM)
            ).is_fine
    finally:
        post_save.disconnect(keep, sender=AccessAttempt)
    assert seen == ["203.0.113.5", "203.0.113.6"]


@pytest.fixture
def server(committed: None, tmp_path: Path) -> Iterator[tuple[Process, Path, float]]:
    """A web server on a Unix socket with one request for each visitor, and its start time."""
    place = tmp_path / "web.sock"
    env = {
        "WEB_BIND": f"unix:{place}",
        "WEB_CONCURRENCY": "1",
        "WEB_REQUESTS_PER_SECOND": "0.0001",
        "FORWARDED_ALLOW_IPS": "10.0.0.7",
    }
    since = time.monotonic()
    with started("web", logs=tmp_path, env=env) as found:
        found["web"].until(lambda: asked(place, "/healthz") == 200)
        yield found["web"], place, since


def asked(place: Path, path: str, *forwarded_for: str) -> int:
    """Return the status of a request with this X-Forwarded-For; 0: there was no answer."""
    headers = {"Host": "127.0.0.1"}
    if forwarded_for:
        headers["X-Forwarded-For"] = ", ".join(forwarded_for)
    connection = UnixConnection(str(place))
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def test_a_unix_socket_limits_each_visitor(server: tuple[Process, Path, float]) -> None:
    web, place, since = server
    spoofed = (f"198.51.100.{n}" for n in count())
    for visitor in ("203.0.113.5", "203.0.113.6", "2001:db8::1"):
        assert asked(place, LOGIN, visitor) == 200
        assert asked(place, LOGIN, next(spoofed), visitor) == 429, "it chose its address"
        assert asked(place, LOGIN, visitor, "10.0.0.7") == 429, "one more proxy on the way"
    assert "names no visitor" in web.log(), "the probe of this test"
    for entry in ("unknown", "garbage", "[::1", ", ,"):
        assert asked(place, LOGIN, entry) in {200, 429}
    for _ in range(PER_MINUTE + 20):
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(place))
            other.sendall(b"\x00\r\n\r\n")
            other.recv(100)
    logged = web.log().count("Invalid HTTP request received")
    minutes = 1 + int((time.monotonic() - since) // 60)
    assert 0 < logged <= PER_MINUTE * minutes, "any client can send invalid HTTP"
