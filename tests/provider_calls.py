"""Calls to a provider for tests: requests, gateways to a server of the test, expected errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from tests.wire import WireServer
from workers.inference import (
    AnthropicClient,
    Cancel,
    Gateway,
    InferenceError,
    InferenceRequest,
    InferenceResult,
    Message,
    TextBlock,
)

HAIKU = "claude-haiku-5-5"


def user(text: str) -> tuple[Message, ...]:
    """The messages of a prompt with one turn."""
    return (Message("user", (TextBlock(text),)),)


def a_request(**changes: Any) -> InferenceRequest:
    """A request with a system block of 9 bytes and a message of 2."""
    facts: dict[str, Any] = {
        "attempt_id": uuid4(),
        "model": HAIKU,
        "system": (TextBlock("You help."),),
        "messages": user("Hi"),
        "max_tokens": 100,
        "deadline_s": 60.0,
    }
    return InferenceRequest(**{**facts, **changes})


@contextmanager
def gateway(server: WireServer | str, **options: Any) -> Iterator[Gateway]:
    url = server if isinstance(server, str) else server.url
    door = Gateway(AnthropicClient(api_key="sk-test", base_url=url, **options))
    try:
        yield door
    finally:
        door.close()


def infer(
    door: Gateway,
    cancel: Cancel | None = None,
    on_delta: Callable[[str], None] | None = None,
    **changes: Any,
) -> InferenceResult:
    return door.infer(a_request(**changes), cancel=cancel or Cancel(), on_delta=on_delta)


def failure(
    door: Gateway,
    cancel: Cancel | None = None,
    on_delta: Callable[[str], None] | None = None,
    **changes: Any,
) -> InferenceError:
    """Make a call that must fail, and return its error."""
    with pytest.raises(InferenceError) as caught:
        infer(door, cancel, on_delta, **changes)
    return caught.value
