"""How many files and connections a web process may have open."""

from __future__ import annotations

import resource
from typing import Final

from django.conf import settings

from aifeature.api.visitors import ADDRESS_FACTOR

OTHERS: Final = 200
"""Files besides the visitors' connections and the database pool: Redis, the listeners, logs."""


def needed() -> int:
    """Return how many files a web process needs: one address may have so many requests open."""
    visitors: int = settings.AIFEATURE["REQUESTS_UNDER_WAY"] * ADDRESS_FACTOR
    pool: int = settings.DATABASES["default"]["OPTIONS"].get("pool", {}).get("max_size", 0)
    return visitors + pool + OTHERS


def problem() -> str:
    """Raise this process's soft limit as far as it needs and may.

    Returns:
        What an operator should do, as one sentence; empty if the limit is high enough.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = needed()
    if _reaches(soft, need):
        return ""
    possible = need if _reaches(hard, need) else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    if possible == need:
        return ""
    return (
        f"RLIMIT_NOFILE is {possible} and this web process needs {need} for"
        f" WEB_REQUESTS_UNDER_WAY={settings.AIFEATURE['REQUESTS_UNDER_WAY']}: beyond it no visitor"
        " can connect. Raise the hard limit (LimitNOFILE of systemd, --ulimit nofile of Docker,"
        " ulimit -Hn) or lower the setting: docs/operations/web.md"
    )


def _reaches(limit: int, need: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= need
