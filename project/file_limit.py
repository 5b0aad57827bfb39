"""The limit on open files and connections of a web process."""

from __future__ import annotations

import resource
from typing import Final

from django.conf import settings

from aifeature.api.visitors import ADDRESS_FACTOR

OTHER_FILES: Final = 200
"""Files other than visitors' connections and the database pool: Redis, listeners, logs."""


def needed() -> int:
    """Return the number of files that a web process needs for one address at its limit."""
    visitors: int = settings.AIFEATURE["REQUESTS_UNDER_WAY"] * ADDRESS_FACTOR
    pool: int = settings.DATABASES["default"]["OPTIONS"].get("pool", {}).get("max_size", 0)
    return visitors + pool + OTHER_FILES


def problem() -> str:
    """Raise this process's soft limit to the number it needs, or to the hard limit.

    Returns:
        The advice for an operator. It is empty if the limit is high enough.
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
        f" WEB_REQUESTS_UNDER_WAY={settings.AIFEATURE['REQUESTS_UNDER_WAY']}: at the limit no"
        " visitor can connect. Raise the hard limit (LimitNOFILE of systemd, --ulimit nofile of"
        " Docker, ulimit -Hn) or lower the setting: docs/operations/web.md"
    )


def _reaches(limit: int, need: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= need
