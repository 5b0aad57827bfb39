"""The visitor's address behind proxies, from the trusted part of X-Forwarded-For.

Each proxy appends the address of its client. So the list is read from its end, and the first
address that is not a trusted proxy's is the visitor's. Entries before it come from the visitor and
may be invented.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Network = IPv4Network | IPv6Network

_MAPPED_BITS: Final = 96
"""Length of the prefix of an IPv6 address that contains an IPv4 address."""


def networks(value: str) -> list[Network]:
    """Return the proxies in a comma-separated list of addresses and networks.

    Raises:
        ValueError: a part is neither, or a network contains every address.
    """
    found: list[Network] = []
    for part in filter(None, (each.strip() for each in value.split(","))):
        if part == "*":
            raise ValueError(
                "* lets visitors invent their address: list the proxies' addresses or networks"
            )
        try:
            network = _unmapped(ip_network(part, strict=False))
        except ValueError:
            raise ValueError(
                "a part is not an address or a network such as 10.0.0.0/8 (names are not resolved)"
            ) from None
        if network.prefixlen == 0:
            raise ValueError("a network of all addresses lets visitors invent their address")
        found.append(network)
    return found


def _unmapped(network: Network) -> Network:
    """Return the IPv4 network of an IPv6 network such as ::ffff:10.0.0.0/104, as in `address_in`.

    Any other network is returned unchanged.
    """
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def address_in(text: str) -> str | None:
    """Return the address in one entry of X-Forwarded-For, normalised. None if it contains none.

    >>> address_in("[2001:DB8::1]:443")
    '2001:db8::1'
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text, closed, _ = text[1:].partition("]")
        if not closed:
            return None
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
        peer: The address of the connection's other end. It is empty on a Unix socket, to which only
            a proxy on this machine connects. Such a proxy is trusted, as in gunicorn.
        forwarded_for: The header's value. Values of several headers are joined by commas.
        trusted: The proxies.

    Returns:
        An IP address. It is empty if the peer is on a Unix socket and sends no address. If an entry
        is not an address, such as `unknown`, the proxy that wrote it counts as the visitor.
    """
    nearest = peer
    for entry in reversed(forwarded_for.split(",")):
        if not is_trusted(nearest, trusted):
            break
        if not entry.strip():
            continue
        address = address_in(entry)
        if address is None:
            break
        nearest = address
    return nearest


def is_trusted(address: str, trusted: Iterable[Network]) -> bool:
    """Return whether an address is a trusted proxy's. An empty one is a Unix socket's."""
    if not address:
        return True
    found = ip_address(address)
    return any(found in network for network in trusted)
