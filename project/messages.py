"""Checks of broker messages. Redis may be shared, so its lists may contain foreign messages."""

from __future__ import annotations

import base64
import logging
from collections.abc import Container
from typing import Any, Final

from kombu.exceptions import KombuError

logger = logging.getLogger(__name__)

_ID: Final = 255
"""Most characters of a task's or a delivery's id."""

_MAYBE_TEXT: Final = (str, type(None))
_HEADERS: Final[dict[str, type | tuple[type, ...]]] = {
    **dict.fromkeys(("expires", "group", "root_id", "parent_id"), _MAYBE_TEXT),
    # A worker would hold the message until then. Here, jobs that are due later wait in PostgreSQL.
    "eta": type(None),
    **dict.fromkeys(("argsrepr", "kwargsrepr", "origin", "shadow"), _MAYBE_TEXT),
    "retries": (int, type(None)),
}


class NotOursError(Exception):
    """A message that this project did not send. The text gives the reason and quotes no content."""

    text_is_ours = True


def check_envelope(raw: Any) -> None:
    """Check the parts of a message that kombu reads.

    Raises:
        NotOursError: kombu did not make the message.
    """
    properties = raw.get("properties") if isinstance(raw, dict) else None
    if not isinstance(properties, dict):
        raise NotOursError("it is not a Celery message")
    delivery = properties.get("delivery_info")
    fits = (
        _is_id(properties.get("delivery_tag"))
        and _is_body(raw.get("body"), properties.get("body_encoding"))
        and isinstance(raw.get("headers"), dict)
        and isinstance(delivery, dict)
        and isinstance(delivery.get("exchange"), str)
        and isinstance(delivery.get("routing_key"), str)
    )
    if not fits:
        raise NotOursError("its properties are incomplete")


def check_task(message: Any, names: Container[str]) -> None:
    """Check that a message starts one of these tasks and has the form that this project sends.

    Raises:
        NotOursError: it does not.
    """
    headers = message.headers
    task = headers.get("task")
    if not isinstance(task, str) or task not in names:
        raise NotOursError("no task has its name")
    if not _is_id(headers.get("id")):
        raise NotOursError("it has no id")
    if not all(isinstance(headers.get(name), kinds) for name, kinds in _HEADERS.items()):
        raise NotOursError("a header has another type")
    try:
        arguments, keywords, more = message.payload
    except (KombuError, ValueError, TypeError, LookupError, RecursionError):
        raise NotOursError("its body is not JSON with arguments and keywords") from None
    if not isinstance(arguments, list) or not isinstance(keywords, dict):
        raise NotOursError("its arguments have another type")
    if not isinstance(more, dict) or any(more.values()):
        raise NotOursError("it names further tasks to run")


def dropped(queue: str, reason: object) -> None:
    """Log a dropped message without its content."""
    logger.error(
        "broker: dropped a message of queue %s: %s. Another program may write to this Redis.",
        queue,
        reason,
    )


def _is_body(body: object, encoding: object) -> bool:
    if not isinstance(body, str) or encoding != "base64":
        return isinstance(body, str) and encoding in (None, "utf-8")
    try:
        base64.b64decode(body)
    except ValueError:
        return False
    return True


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _ID
