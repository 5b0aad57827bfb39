"""Django's database sessions, with a check of the cookie before any query."""

from __future__ import annotations

import re
from typing import Final

from django.contrib.sessions.backends import db

_KEY: Final = re.compile(r"[a-z0-9]{32}")
"""Django's session keys. A cookie's octal escapes may contain a NUL, which PostgreSQL refuses."""


class SessionStore(db.SessionStore):
    """A session by the key in a cookie. An invalid key gives an empty session."""

    def _validate_session_key(self, key: str | None) -> bool:
        return key is not None and _KEY.fullmatch(key) is not None
