"""From settings to the process's one Gateway, and to the gates that web processes ask as well.

The provider's SDK is loaded when the gateway is built: a web process never needs it.
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
    """The inference layer of this process. Built once: a client costs 0.1 s of CPU.

    Raises:
        ImproperlyConfigured: there is no API key.
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
    """The breakers, token buckets and provider limits, shared with all processes through Redis."""
    return RateGate(shared_state(), forced=breakers.forced)


@cache
def request_limiter() -> RequestLimiter:
    """How many requests a minute each user may submit."""
    return RequestLimiter(shared_state())


@cache
def shared_state() -> SharedState:
    """The one client of this process for all of them, so that an outage is noticed once."""
    return connect(settings.REDIS_URL, settings.REDIS_SOCKET)
