"""Django's messages to users, which wait in the session for the next page."""

from __future__ import annotations

from typing import Any

from django.contrib.messages.storage.session import SessionStorage
from django.utils.safestring import SafeString, mark_safe

from aifeature.models.free_text import without_personal_data


class NoticeStorage(SessionStorage):
    """Replaces personal data, since messages quote what visitors typed and sessions are stored."""

    def add(self, level: int, message: Any, extra_tags: str | None = "") -> None:
        """Queue a message."""
        text = without_personal_data(str(message))
        if isinstance(message, SafeString):
            text = mark_safe(text)  # noqa: S308 (placeholders are no HTML)
        super().add(level, text, extra_tags)
