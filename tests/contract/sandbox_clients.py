"""The SDK's client, requests and a settable clock for the contract tests of the sandbox."""

from __future__ import annotations

from typing import Any

import anthropic  # noqa: TID251 - these tests hold the sandbox against the real SDK

SDK = anthropic.Anthropic
HAIKU = "claude-haiku-5-5"
DOCUMENT = (
    "The harbour board met on Monday. The board decided to dredge the north channel. "
    "Dredging will cost 2.4 million euros and take 14 weeks. Ingrid Dahl leads the project."
)


class FakeClock:
    """Seconds since the epoch, moved by the test."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def client(url: str, **options: Any) -> SDK:
    """The SDK as our client uses it: one layer retries, and it is not this one."""
    return SDK(base_url=url, api_key="x", max_retries=0, **options)


def ask(**changes: Any) -> dict[str, Any]:
    """A valid request."""
    return {
        "model": HAIKU,
        "max_tokens": 300,
        "system": "Summarise the document in two sentences.",
        "messages": [{"role": "user", "content": f"<document>{DOCUMENT}</document>"}],
        **changes,
    }


def run(sdk: SDK, *, stream: bool, **changes: Any) -> Any:
    """Make a call, and return its message or the list of its events."""
    if stream:
        return list(sdk.messages.create(**ask(**changes), stream=True))
    return sdk.messages.create(**ask(**changes))
