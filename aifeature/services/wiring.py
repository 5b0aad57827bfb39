"""From settings to the process's one Gateway."""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from workers.inference.breaker import Forced
from workers.inference.client import AnthropicClient
from workers.inference.gate import Gate
from workers.inference.gateway import Gateway
from workers.inference.shared_state import SharedState, connect
from workers.inference.token_bucket import RequestLimiter


@cache
def gateway() -> Gateway:
    """The inference layer of this process. Built once: a client costs 0.1 s of CPU.

    Raises:
        ImproperlyConfigured: there is no API key.
    """
    config = settings.AIFEATURE
    if not config["API_KEY"]:
        raise ImproperlyConfigured(
            "ANTHROPIC_API_KEY is not set: this process makes provider calls and needs it."
        )
    return Gateway(
        AnthropicClient(
            api_key=config["API_KEY"],
            base_url=config["BASE_URL"],
            connect_timeout_s=config["CONNECT_TIMEOUT_S"],
            idle_timeout_s=config["IDLE_TIMEOUT_S"],
        ),
        gate=gate(),
    )


@cache
def gate() -> Gate:
    """The breakers, token buckets and provider limits, shared with all processes through Redis."""
    return Gate(shared_state(), forced=_not_forced)


@cache
def request_limiter() -> RequestLimiter:
    """How many requests a minute; for web processes, which need no provider client for it."""
    return RequestLimiter(shared_state())


@cache
def shared_state() -> SharedState:
    """The one client of this process for all of them, so that an outage is noticed once."""
    return connect(settings.REDIS_URL, settings.REDIS_SOCKET)


def _not_forced(_model: str) -> Forced:
    return ""
