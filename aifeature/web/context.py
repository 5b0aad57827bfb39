"""Template context of every page."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest | None = None) -> dict[str, Any]:  # noqa: ARG001 (a context processor)
    """Add whether the sandbox provider answers. Pages then warn that answers have no meaning."""
    return {"is_sandbox": settings.AIFEATURE["PROVIDER"] == "sandbox"}
