"""What on-call reads about a provider account that refuses every call."""

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
"""Cause and next step by the error code of the calls."""

_UNKNOWN: Final = ("of an error of the whole account", "Look at the provider's console.")


def summary(account: str, code: str, detail: str) -> str:
    """The object, the cause and the next step, in sentences."""
    cause, step = CAUSES.get(code, _UNKNOWN)
    return (
        f"The provider account {account} refuses every call: {cause} ({detail}). Jobs of all"
        " features and models wait until their deadline. One small probe at a time tries again,"
        f" every 30 seconds at the latest. {step}"
    )
