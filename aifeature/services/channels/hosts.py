"""Hosts that no receiver has, also where they are written as a number."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

from aifeature.services.channels.problems import AddressError


def refuse_special(host: str) -> None:
    """Refuse hosts that no receiver has. Link-local ones serve credentials of clouds.

    Raises:
        AddressError: It is such a host.
    """
    found = _address(host)
    if found is None:
        return
    mapped = getattr(found, "ipv4_mapped", None) or found
    if mapped.is_link_local or mapped.is_multicast or mapped.is_unspecified:
        raise AddressError("No receiver has this address: write its host name or its own address.")


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address, in each form that the system connects to, such as 0xa9fea9fe."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None
