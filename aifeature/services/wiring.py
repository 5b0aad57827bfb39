"""From settings to the process's one Gateway."""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from aifeature.services.gates import gate
from workers.inference.client import AnthropicClient
from workers.inference.gateway import Gateway


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
