"""Evidence counts for the provider itself, at its own address, however that is written."""

from __future__ import annotations

from typing import Any

import pytest

from aifeature.services.controls import live


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (None, "anthropic"),
        ("https://api.anthropic.com", "anthropic"),
        ("https://API.anthropic.com:443/", "anthropic"),
        ("https://api.anthropic.com/v1/", "anthropic"),
        ("https://api.anthropic.com:8443", "anthropic at api.anthropic.com:8443"),
        ("http://api.anthropic.com", "anthropic at api.anthropic.com"),
        ("https://user:secret@gateway.example/a", "anthropic at gateway.example"),
        ("https://api.anthropic.com@gateway.example", "anthropic at gateway.example"),
        (
            "https://api.anthropic.com.gateway.example",
            "anthropic at api.anthropic.com.gateway.example",
        ),
    ],
)
def test_the_address_names_the_provider(address: str | None, name: str, settings: Any) -> None:
    settings.AIFEATURE = {**settings.AIFEATURE, "PROVIDER": "anthropic", "BASE_URL": address}
    assert live.provider() == name
