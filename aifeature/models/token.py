"""Bearer tokens of the API: shown once, kept as a digest."""

from __future__ import annotations

import hashlib
import secrets

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

PREFIX = "aif_"


def digest(token: str) -> str:
    """Hex SHA-256 of a token. A token has 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


class ApiToken(models.Model):
    """A bearer token of one user. Its text exists only in the answer that made it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80, help_text="What uses it.")
    hint = models.CharField(max_length=12, editable=False, help_text="Its first characters.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "API token"
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}...)"

    @classmethod
    def issue(cls, *, user_id: int, name: str) -> tuple[ApiToken, str]:
        """Make a token. Returns the row and the text, which is shown once and never again."""
        text = PREFIX + secrets.token_urlsafe(32)
        row = cls.objects.create(user_id=user_id, name=name, hint=text[:8], digest=digest(text))
        return row, text
