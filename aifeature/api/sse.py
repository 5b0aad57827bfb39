"""Server-sent events, as text on the wire (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

HEARTBEAT = b": still here\n\n"
"""A comment, so that no proxy on the way takes the connection for dead."""

GOODBYE = b": the server restarts, please connect again\n\n"


def retry(milliseconds: int) -> bytes:
    """How long a client waits before it connects again."""
    return b"retry: %d\n\n" % milliseconds


def event(name: str, data: Mapping[str, Any] | str, *, event_id: str | None = None) -> bytes:
    """One event. `data` is JSON, or text that is JSON already and stands on one line."""
    if not isinstance(data, str):
        data = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = f"id: {event_id}\n" if event_id is not None else ""
    return f"{head}event: {name}\ndata: {data}\n\n".encode()
