"""Confirms a change as a browser does: the second step of a form of admin."""

from __future__ import annotations

import html
import re
from typing import Any

from django.test import Client


def is_asking(response: Any) -> bool:
    """Whether this is the page that requests a confirmation."""
    return response.status_code == 200 and "This changes" in response.text


def confirm(page: Client, asked: Any, address: str, **pressed: Any) -> Any:
    """Press Save on the page that requests a confirmation, as a browser does."""
    return page.post(address, {**sent_again(asked.text), **pressed})


def sent_again(text: str) -> dict[str, list[str]]:
    """The hidden values of that page."""
    values: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', text):
        if name != "csrfmiddlewaretoken":
            values.setdefault(name, []).append(html.unescape(value))
    return values


def submit(page: Client, address: str, values: dict[str, Any]) -> Any:
    """Send the form, and confirm the change if the page requests it."""
    asked = page.post(address, values)
    return confirm(page, asked, address) if is_asking(asked) else asked
