"""Template context of every page."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from aifeature.services.stores import demo_data


def site(request: HttpRequest | None = None) -> dict[str, Any]:  # noqa: ARG001 (a context processor)
    """Add whether the sandbox provider answers, and whether there are synthetic data.

    Pages then warn that answers have no meaning, and that figures are made up. The second is a
    function, so that a page without that line makes no query.
    """
    return {
        "is_sandbox": settings.AIFEATURE["PROVIDER"] == "sandbox",
        "synthetic_before": demo_data.reader.before,
    }
