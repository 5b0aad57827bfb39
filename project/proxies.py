"""The visitor's address when a proxy is in front: what X-Forwarded-For says, as far as we trust it.

Each proxy appends the address that it was connected from. So the list is read from its end, and
the first address that is no trusted proxy's is the visitor. What stands before it was written by
the visitor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Network = IPv4Network | IPv6Network

_MAPPED_BITS: Final = 96
"""Of an IPv6 address that says that the rest of it is one of IPv4."""


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
            network = _unmapped(ip_network(part, strict=False))
        except ValueError:
            raise ValueError(
                "a part is no address and no network such as 10.0.0.0/8 (a name matches no proxy)"
            ) from None
        if network.prefixlen == 0:
            raise ValueError("a network of all addresses lets visitors make their address up")
        found.append(network)
    return found


def _unmapped(network: Network) -> Network:
    """The IPv4 network that an IPv6 one such as ::ffff:10.0.0.0/104 stands for, as in `address_in`.

    Any other network stays as it is.
    """
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def address_in(text: str) -> str | None:
    """Return the address in one entry of X-Forwarded-For, normalised; None if it holds none.

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
    """Return whether an address is a proxy's; an empty one is that of a Unix socket."""
    if not address:
        return True
    found = ip_address(address)
    return any(found in network for network in trusted)
