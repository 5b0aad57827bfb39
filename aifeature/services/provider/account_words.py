"""Alert texts about a provider account that refuses every call."""

from __future__ import annotations

from typing import Final

CAUSES: Final = {
    "access_denied": (
        "it cannot sign in or may not be used",
        "Check the API key in the provider's console. After a new key, restart the workers.",
    ),
    "billing_stopped": (
        "it has no credit or has reached a spend limit",
        "Open Billing and Limits in the provider's console, and buy credit or raise the limit.",
    ),
}
"""Cause and next step by error code."""

_UNKNOWN: Final = ("an error concerns the whole account", "Check the provider's console.")


def summary(account: str, code: str, detail: str) -> str:
    cause, step = CAUSES.get(code, _UNKNOWN)
    return (
        f"The provider account {account} refuses every call: {cause} ({detail}). Jobs of all"
        " features and models wait until their deadline. A small probe is sent at least every"
        f" 30 seconds. {step}"
    )
