"""The fault plan of the sandbox provider."""

from __future__ import annotations

from typing import Any, Final

import httpx2
from django.conf import settings

TIMEOUT_S: Final = 3.0


class ProviderAwayError(Exception):
    """The sandbox provider does not answer."""

    text_is_ours = True


def faults() -> list[dict[str, Any]]:
    """Return the rules in force. Raises ProviderAwayError."""
    found: list[dict[str, Any]] = _request("GET", None)["rules"]
    return found


def set_faults(*rules: dict[str, Any]) -> None:
    """Replace the rules. Raises ProviderAwayError."""
    _request("PUT", {"rules": rules})


def _request(method: str, body: dict[str, Any] | None) -> Any:
    url = f"{settings.AIFEATURE['BASE_URL'].rstrip('/')}/sandbox/faults"
    try:
        with httpx2.Client(trust_env=False, timeout=TIMEOUT_S) as client:
            return client.request(method, url, json=body).raise_for_status().json()
    except httpx2.HTTPError as error:
        raise ProviderAwayError(
            f"The sandbox provider does not answer ({type(error).__name__})."
            " `make stack` starts it."
        ) from None
