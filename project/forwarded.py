"""The outermost ASGI layer: the visitor's address and scheme, as trusted proxies report them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from project.lifespan import App, Receive, Send
from project.proxies import Network, address_in, is_trusted, visitor

logger = logging.getLogger(__name__)

_SCHEMES: Final = {"http", "https"}


class Forwarded:
    """An ASGI application that replaces a proxy's address and scheme with the visitor's."""

    def __init__(self, app: App, trusted: Sequence[Network]) -> None:
        """Trust these proxies (`forwarded_allow_ips` in project/env.py)."""
        self._app = app
        self._trusted = trusted
        self._warned_of: set[str] = set()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = self._resolved(scope)
        await self._app(scope, receive, send)

    def _resolved(self, scope: Any) -> Any:
        client = scope.get("client")
        peer = address_in(client[0]) if client else None if _is_tcp(scope) else ""
        if peer is None:  # the peer's address is unknown, so it cannot be trusted
            return {**scope, "client": None}
        given = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        found = visitor(peer, b",".join(given).decode("latin-1"), self._trusted)
        is_named = peer != "" and is_trusted(peer, self._trusted)
        self._warn_of_one_address(peer, found, is_named=is_named, is_forwarded=bool(given))
        scope = {**scope, "client": (found, client[1] if found == peer else 0) if found else None}
        if is_named:
            for name, value in scope["headers"]:
                if name == b"x-forwarded-proto" and (text := value.decode("latin-1")) in _SCHEMES:
                    scope["scheme"] = text
        return scope

    def _warn_of_one_address(
        self, peer: str, found: str, *, is_named: bool, is_forwarded: bool
    ) -> None:
        """Log once for each set-up in which many visitors count as one address."""
        if not found:
            self._warn(
                "proxies: a request on the Unix socket names no visitor, so all such requests count"
                " as one address. Configure the proxy to send X-Forwarded-For:"
                " docs/operations/behind-a-proxy.md"
            )
        elif is_forwarded and not is_named and peer:
            self._warn(
                "proxies: %s sends X-Forwarded-For and is not in FORWARDED_ALLOW_IPS, so it counts"
                " as the visitor. If it is your proxy, add it there:"
                " docs/operations/behind-a-proxy.md",
                peer,
            )

    def _warn(self, text: str, *values: str) -> None:
        if text not in self._warned_of:
            self._warned_of.add(text)
            logger.warning(text, *values)


def _is_tcp(scope: Any) -> bool:
    """Return whether the connection is TCP. Its peer may be gone and have no address."""
    server = scope.get("server")
    return server is not None and server[1] is not None
