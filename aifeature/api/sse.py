"""Encoding of server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

HEARTBEAT = b": still here\n\n"
"""A comment that keeps proxies from closing the connection."""

GOODBYE = b": the server restarts, please connect again\n\n"


def retry(milliseconds: int) -> bytes:
    """Return the field that sets a client's delay before it reconnects."""
    return b"retry: %d\n\n" % milliseconds


def event(name: str, data: Mapping[str, Any] | str, *, event_id: str | None = None) -> bytes:
    """Return one event. `data` is a value to encode, or JSON text on one line."""
    if not isinstance(data, str):
        data = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = f"id: {event_id}\n" if event_id is not None else ""
    return f"{head}event: {name}\ndata: {data}\n\n".encode()
