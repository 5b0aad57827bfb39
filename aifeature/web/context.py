"""What every page shows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest | None = None) -> dict[str, Any]:  # noqa: ARG001 (a processor's form)
    """Nobody may take the stand-in's answers for a model's."""
    return {"is_sandbox": settings.AIFEATURE["PROVIDER"] == "sandbox"}
