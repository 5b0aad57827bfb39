"""The visitor's address when a proxy is in front: what X-Forwarded-For says, as far as we trust it.

Each proxy appends the address that it was connected from. So the list is read from its end, and
the first address that is no trusted proxy's is the visitor. What stands before it was written by
the visitor.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from project.lifespan import App, Receive, Send

logger = logging.getLogger(__name__)

Network = IPv4Network | IPv6Network

_SCHEMES: Final = {"http", "https"}


def networks(value: str) -> list[Network]:
    """Return the proxies named in a comma-separated list of addresses and networks.

    Raises:
        ValueError: a part is no address, or a network holds every address.
    """
    found: list[Network] = []
    for part in filter(None, (each.strip() for each in value.split(","))):
        if part == "*":
            raise ValueError(
                "* lets visitors make their address up: name the proxies' addresses or networks"
            )
        try:
            network = ip_network(part, strict=False)
        except ValueError:
            raise ValueError(
                "a part is no address and no network such as 10.0.0.0/8 (a name matches no proxy)"
            ) from None
        if network.prefixlen == 0:
            raise ValueError("a network of all addresses lets visitors make their address up")
        found.append(network)
    return found


def address_in(text: str) -> str | None:
    """Return the address in one entry of X-Forwarded-For, normalised; None if it holds none.

    >>> address_in("[2001:DB8::1]:443")
    '2001:db8::1'
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])  # without the zone: PostgreSQL's inet has none
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(found)


def visitor(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Return the visitor's address.

    Args:
        peer: The address of the other end of the connection. Empty on a Unix socket: only a proxy
            on this machine connects there, so it is trusted, as gunicorn does.
        forwarded_for: The header's value; of several headers, all values joined by commas.
        trusted: The proxies.

    Returns:
        An IP address; empty if the peer is on a Unix socket and names no visitor. An entry that is
        no address, such as `unknown`, stands for the proxy that wrote it.
    """
    nearest = peer
    for entry in reversed(forwarded_for.split(",")):
        if not _is_trusted(nearest, trusted):
            break
        if not entry.strip():
            continue
        address = address_in(entry)
        if address is None:
            break
        nearest = address
    return nearest


def _is_trusted(address: str, trusted: Iterable[Network]) -> bool:
    if not address:
        return True
    found = ip_address(address)
    return any(found in network for network in trusted)


class Forwarded:
    """An ASGI application that puts the visitor's address and scheme in place of the proxy's."""

    def __init__(self, app: App, trusted: Sequence[Network]) -> None:
        """Trust these proxies; see `forwarded_allow_ips` in project/env.py."""
        self._app = app
        self._trusted = trusted
        self._warned = False

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http":
            scope = self._resolved(scope)
        await self._app(scope, receive, send)

    def _resolved(self, scope: Any) -> Any:
        client = scope.get("client")
        peer = address_in(client[0]) if client else ""
        if peer is None:  # no address of this kind of server: nobody is trusted by it
            return {**scope, "client": None}
        given = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        found = visitor(peer, b",".join(given).decode("latin-1"), self._trusted)
        is_named = peer != "" and _is_trusted(peer, self._trusted)
        self._warn_once(peer, found, is_named=is_named, is_forwarded=bool(given))
        scope = {**scope, "client": (found, client[1] if found == peer else 0) if found else None}
        if is_named:
            for name, value in scope["headers"]:
                if name == b"x-forwarded-proto" and (text := value.decode("latin-1")) in _SCHEMES:
                    scope["scheme"] = text
        return scope

    def _warn_once(self, peer: str, found: str, *, is_named: bool, is_forwarded: bool) -> None:
        """Report a set-up in which many visitors count as one address."""
        if self._warned:
            return
        if not found:
            self._warned = True
            logger.warning(
                "proxies: a request on the Unix socket names no visitor, so all such requests count"
                " as one address. Have the proxy send X-Forwarded-For:"
                " docs/operations/behind-a-proxy.md"
            )
        elif is_forwarded and not is_named and peer:
            self._warned = True
            logger.warning(
                "proxies: %s sends X-Forwarded-For and is not in FORWARDED_ALLOW_IPS, so it counts"
                " as the visitor. If it is your proxy, name it there:"
                " docs/operations/behind-a-proxy.md",
                peer,
            )
