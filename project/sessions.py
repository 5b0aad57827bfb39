"""Django's sessions in the database, with cookies checked before they reach it."""

from __future__ import annotations

import re
from typing import Final

from django.contrib.sessions.backends import db

_KEY: Final = re.compile(r"[a-z0-9]{32}")
"""What Django makes. A cookie's octal escapes may spell a NUL, which PostgreSQL does not take."""


class SessionStore(db.SessionStore):
    """A session that a cookie names; a cookie that is no key of ours names none."""

    def _validate_session_key(self, key: str | None) -> bool:
        return key is not None and _KEY.fullmatch(key) is not None
