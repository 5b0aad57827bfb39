"""Counting of refused submissions, for operators."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Protocol, TypeVar

from aifeature import registry
from aifeature.services import access
from aifeature.services.jobs.refusals import AccessBlocked, NotFound, Refusal
from aifeature.services.monitoring.refused_submissions import counts

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from django.contrib.auth.models import User

Answer = TypeVar("Answer", covariant=True)  # noqa: PLC0105 (of a protocol)


class Submit(Protocol[Answer]):
    """Accepts a job of a user."""

    def __call__(self, *, user: User, slug: str, data: Any, key: str | None = None) -> Answer:
        """See `lifecycle.submit`."""


def note(user: User, slug: str, refusal: Refusal) -> None:
    """Count a refused submission. One by a user who is blocked without a message is a NotFound."""
    code = refusal.code
    if isinstance(refusal, NotFound) and registry.find(slug) and access.is_blocked(slug, user):
        code = AccessBlocked.code
    counts.note(user.pk, slug, code)


def counted(submit: Submit[Answer]) -> Submit[Answer]:
    """Count what `submit` refuses because of a limit or a block."""
    name: Callable[..., Any] = submit

    @wraps(name)
    def counting(*, user: User, slug: str, data: Any, key: str | None = None) -> Answer:
        try:
            return submit(user=user, slug=slug, data=data, key=key)
        except Refusal as refusal:
            note(user, slug, refusal)
            raise

    return counting
