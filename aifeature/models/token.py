"""Bearer tokens of the API. A token is shown once and stored as a digest."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aifeature.models.free_text import FreeLine

PREFIX = "aif_"


def digest(token: str) -> str:
    """Return the hex SHA-256 of a token, whose 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


class Tokens(models.QuerySet["ApiToken"]):
    def valid(self) -> Tokens:
        """Return the tokens of open accounts that are neither revoked nor expired."""
        unexpired = Q(expires_at=None) | Q(expires_at__gt=Now())
        return self.filter(unexpired, revoked_at=None, user__is_active=True)

    def revoke(self) -> int:
        """Revoke these tokens. Return the number of those that were not revoked before."""
        return self.filter(revoked_at=None).update(revoked_at=Now())


class ApiToken(models.Model):
    """A bearer token of one user. Its text exists only in the response that created it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    name = FreeLine(max_length=80, help_text="What uses it.")
    hint = models.CharField(max_length=12, editable=False, help_text="Its first characters.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(
        "expires", null=True, blank=True, help_text="In UTC. Empty: never."
    )
    may_submit = models.BooleanField(
        "may submit",
        default=True,
        db_default=True,
        help_text="Submit and cancel jobs. Without it the token only reads.",
    )
    features: models.JSONField[Any] = models.JSONField(
        null=True, blank=True, editable=False, help_text="Slugs it may use; NULL: every feature."
    )

    objects = Tokens.as_manager()

    class Meta:
        verbose_name = "API token"
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}...)"

    @property
    def scope(self) -> str:
        """The permissions, as text for operators: `read, submit`, or `read: summarize`."""
        does = "read, submit" if self.may_submit else "read"
        return does if self.features is None else f"{does}: {', '.join(self.features)}"

    @classmethod
    def issue(
        cls,
        *,
        user_id: int,
        name: str,
        lasts: timedelta | None = None,
        may_submit: bool = True,
        features: Iterable[str] | None = None,
        text: str | None = None,
    ) -> tuple[ApiToken, str]:
        """Create a token.

        Args:
            user_id: Its owner.
            name: The program that uses it.
            lasts: Time until it expires, by the database's clock; None: never.
            may_submit: Whether it may submit and cancel jobs; otherwise it only reads.
            features: Slugs of the features it may use; None: all features of its user.
            text: A text generated elsewhere with as many random bits; None: generate one.

        Returns:
            The row and the text, which must be shown now: it is not stored.
        """
        text = text or PREFIX + secrets.token_urlsafe(32)
        row = cls.objects.create(
            user_id=user_id,
            name=name,
            hint=text[:8],
            digest=digest(text),
            expires_at=None if lasts is None else Now() + lasts,
            may_submit=may_submit,
            features=None if features is None else sorted(set(features)),
        )
        return row, text
