"""Factories for the process's gateway, and for the limits that web processes use as well.

The provider's SDK is loaded with the gateway, so a web process never loads it.
"""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from aifeature.services.controls import breakers
from aifeature.services.stores import database_clock
from workers import inference
from workers.inference.rate_gate import RateGate
from workers.inference.shared_state import SharedState, connect
from workers.inference.token_bucket import RequestLimiter


@cache
def gateway() -> inference.Gateway:
    """Return this process's gateway. It is built once, since a client costs 0.1 s of CPU.

    Raises:
        ImproperlyConfigured: The API key is not set.
    """
    config = settings.AIFEATURE
    if not config["API_KEY"]:
        raise ImproperlyConfigured(
            "ANTHROPIC_API_KEY is not set: this process makes provider calls and needs it."
        )
    return inference.Gateway(
        inference.AnthropicClient(
            api_key=config["API_KEY"],
            base_url=config["BASE_URL"],
            connect_timeout_s=config["CONNECT_TIMEOUT_S"],
            idle_timeout_s=config["IDLE_TIMEOUT_S"],
        ),
        gate=gate(),
        clock=database_clock.clock.now,
    )


@cache
def gate() -> RateGate:
    """Return the rate gate: breakers, buckets and provider limits, shared through Redis."""
    return RateGate(shared_state(), forced=breakers.forced)


@cache
def request_limiter() -> RequestLimiter:
    """Return the limiter of each user's submissions a minute."""
    return RequestLimiter(shared_state())


@cache
def shared_state() -> SharedState:
    """Return the process's shared client, so that an outage is detected only once."""
    return connect(settings.REDIS_URL, settings.REDIS_SOCKET)
