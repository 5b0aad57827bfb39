"""The address of a visitor behind proxies is right, with any header of the visitor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from project import forwarded
from project.forwarded import Forwarded
from project.proxies import address_in, networks, visitor

TRUSTED = networks("10.0.0.0/8, fd00::/8, ::1")
UNIX = ""

proxies = st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="fd00::/8")
clients = st.ip_addresses(v=4, network="203.0.113.0/24") | st.ip_addresses(network="2001:db8::/32")
peers = st.just(UNIX) | proxies.map(str)
junk = (
    st.sampled_from(
        ["unknown", "_hidden", "", " ", "[", "]", "[::1", "1.2.3.4.5", "for=1.2.3.4", '"', "::g"]
    )
    | st.text(max_size=20)
    | clients.map(str)
    | proxies.map(str)
)


def written(address: Any, port: int | None, *, quoted: bool) -> str:
    """An address as proxies spell it."""
    if port is None:
        text = str(address)
    else:
        text = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    return f'"{text}"' if quoted else text


spellings = st.tuples(st.none() | st.integers(1, 65_535), st.booleans())


@given(
    peer=peers,
    made_up=st.lists(junk, max_size=5),
    client=clients,
    spelling=spellings,
    chain=st.lists(proxies, max_size=3),
)
@example("", ["unknown"] * 1_000, ip_address("203.0.113.5"), (None, False), [])
@example("10.0.0.1", ["10.0.0.2"] * 1_000, ip_address("2001:db8::1"), (443, False), [])
def test_the_visitor_is_who_connected_to_the_first_trusted_proxy(
    peer: str, made_up: list[str], client: Any, spelling: tuple[int | None, bool], chain: list[Any]
) -> None:
    port, quoted = spelling
    entries = [*made_up, written(client, port, quoted=quoted), *map(str, chain)]
    assert visitor(peer, ", ".join(entries), TRUSTED) == str(client)


@given(peer=clients, header=st.text() | st.lists(junk).map(",".join))
def test_a_peer_that_is_no_trusted_proxy_is_the_visitor(peer: Any, header: str) -> None:
    assert visitor(str(peer), header, TRUSTED) == str(peer)


@given(peer=peers, header=st.text() | st.lists(junk, max_size=30).map(",".join))
def test_a_visitor_has_an_address_with_any_header(peer: str, header: str) -> None:
    found = visitor(peer, header, TRUSTED)
    assert (found == UNIX and peer == UNIX) or str(ip_address(found)) == found
    assert "%" not in found, "the database's addresses have no zone"


@pytest.mark.parametrize("entry", ["unknown", "_x", "garbage", "999.1.1.1", "[::1"])
def test_an_entry_without_an_address_stands_for_the_proxy_that_wrote_it(entry: str) -> None:
    assert visitor("10.0.0.1", f"203.0.113.5, {entry}", TRUSTED) == "10.0.0.1"
    assert visitor(UNIX, f"203.0.113.5, {entry}, 10.0.0.7", TRUSTED) == "10.0.0.7"


def test_one_address_has_one_spelling() -> None:
    assert address_in("::ffff:203.0.113.5") == "203.0.113.5"
    assert address_in("fe80::1%eth0") == "fe80::1"
    assert address_in("[2001:DB8:0::1]:443") == "2001:db8::1"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("*", "invent their address"),
        ("10.0.0.1, *", "invent their address"),
        ("0.0.0.0/0", "invent their address"),
        ("::/0", "invent their address"),
        ("::ffff:0:0/96", "invent their address"),
        ("nginx", "names are not resolved"),
        ("10.0.0.1:80", "not an address"),
        ("10.0.0.0/33", "not an address"),
    ],
)
def test_an_address_list_that_trusts_all_or_none_is_refused(value: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        networks(value)


@pytest.mark.parametrize(
    ("value", "same"),
    [
        ("::ffff:10.0.0.2", "10.0.0.2"),
        ("::ffff:a00:2", "10.0.0.2"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
    ],
)
def test_an_ipv4_proxy_may_be_named_as_ipv6_shows_it(value: str, same: str) -> None:
    """Its address as a peer is of IPv4: see `address_in`."""
    assert networks(value) == networks(same)
    peer = address_in("::ffff:10.0.0.2")
    assert peer is not None
    assert visitor(peer, "203.0.113.5", networks(value)) == "203.0.113.5"


class Site:
    """An application behind `Forwarded` that stores its requests."""

    def __init__(self, trusted: str) -> None:
        self.scopes: list[Any] = []
        self._app = Forwarded(self._keep, networks(trusted))

    async def _keep(self, scope: Any, _receive: Any, _send: Any) -> None:
        self.scopes.append(scope)

    def visit(
        self,
        client: tuple[str, int] | None,
        *headers: tuple[bytes, bytes],
        server: tuple[str, int | None] = ("/run/web.sock", None),
    ) -> Any:
        scope = {
            "type": "http",
            "scheme": "http",
            "client": client,
            "server": server if client is None else ("127.0.0.1", 8000),
            "headers": list(headers),
        }
        asyncio.run(self._app(scope, None, None))  # type: ignore[arg-type]
        return self.scopes[-1]


def forwarded_for(*addresses: str) -> tuple[bytes, bytes]:
    return (b"x-forwarded-for", ", ".join(addresses).encode())


def test_on_a_unix_socket_each_visitor_has_an_address_of_their_own() -> None:
    site = Site("")
    assert site.visit(None, forwarded_for("203.0.113.5"))["client"][0] == "203.0.113.5"
    assert site.visit(None, forwarded_for("1.1.1.1", "203.0.113.6"))["client"][0] == "203.0.113.6"
    assert site.visit(None)["client"] is None


def test_a_client_that_hangs_up_early_is_not_taken_for_the_unix_socket() -> None:
    """Uvicorn finds no address of a TCP connection that was reset."""
    told = (forwarded_for("203.0.113.5"), (b"x-forwarded-proto", b"https"))
    found = Site("10.0.0.1").visit(None, *told, server=("127.0.0.1", 8000))
    assert (found["client"], found["scheme"]) == (None, "http")


def test_several_headers_are_one_list() -> None:
    both = (forwarded_for("203.0.113.6"), forwarded_for("203.0.113.5"))
    assert Site("").visit(None, *both)["client"][0] == "203.0.113.5"


@pytest.mark.parametrize(
    ("client", "scheme"),
    [(("10.0.0.1", 1), "https"), (("203.0.113.5", 1), "http"), (None, "http")],
)
def test_only_a_named_proxy_may_set_the_scheme(client: tuple[str, int] | None, scheme: str) -> None:
    assert Site("10.0.0.1").visit(client, (b"x-forwarded-proto", b"https"))["scheme"] == scheme


def test_a_scheme_that_there_is_not_is_ignored() -> None:
    found = Site("10.0.0.1").visit(("10.0.0.1", 1), (b"x-forwarded-proto", b"gopher"))
    assert found["scheme"] == "http"


def reports(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The log lines about proxies. Other threads of this process may log as well."""
    return [each.message for each in caplog.records if each.name == forwarded.logger.name]


@pytest.mark.parametrize(
    ("client", "headers", "text"),
    [
        (None, [], "names no visitor"),
        (("192.0.2.9", 1), [forwarded_for("203.0.113.5")], "192.0.2.9 sends X-Forwarded-For"),
    ],
)
def test_a_set_up_in_which_all_visitors_count_as_one_is_reported_once(
    caplog: pytest.LogCaptureFixture,
    client: tuple[str, int] | None,
    headers: Sequence[tuple[bytes, bytes]],
    text: str,
) -> None:
    site = Site("10.0.0.1")
    for _ in range(3):
        site.visit(client, *headers)
    assert [text in message for message in reports(caplog)] == [True]


def test_one_report_keeps_no_other_from_being_written(caplog: pytest.LogCaptureFixture) -> None:
    site = Site("10.0.0.1")
    for _ in range(2):
        site.visit(None)
        site.visit(("192.0.2.9", 1), forwarded_for("203.0.113.5"))
    first, second = reports(caplog)
    assert "names no visitor" in first
    assert "192.0.2.9 sends X-Forwarded-For" in second


def test_visitors_with_addresses_are_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    site = Site("10.0.0.1")
    site.visit(("203.0.113.5", 1))
    site.visit(("10.0.0.1", 1), forwarded_for("203.0.113.5"))
    site.visit(None, forwarded_for("203.0.113.5"))
    assert not reports(caplog)
