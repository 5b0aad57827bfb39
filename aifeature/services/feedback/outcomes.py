"""Outcomes: later events in the web app, such as a closed ticket.

The web app reports an outcome for the job that led to it, or for a user and a feature. The second
also works for users of the hold-out, who have no jobs: report it for all users in the same way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from uuid import UUID

from aifeature import registry
from aifeature.models import feedback
from aifeature.models.free_text import free_text
from aifeature.services import jobs
from aifeature.services.jobs.refusals import InvalidInput

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MOST_A_DAY: Final = 200
"""Outcomes of one user in a UTC day. More are ignored, so that no user fills the table."""

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""Form of an outcome's name and of a feature's slug."""

BAD_NAME: Final = (
    "This must begin with a lower-case letter, and have only lower-case letters, digits and"
    " underscores, at most 40. It must not hold personal data."
)


def record(*, user: User, feature: str, name: str) -> bool:
    """Record an outcome of a user. Return whether it was stored.

    It counts once per user, feature, name and UTC day. For the web app's own server code, when a
    ticket is closed:

        from aifeature.services.feedback import outcomes

        outcomes.record(user=ticket.agent, feature="triage", name="ticket_closed")

    An unknown feature and a user's full day store nothing. Whether the user may use the feature
    makes no difference.

    Raises:
        InvalidInput: the name or the slug is malformed.
        django.db.Error: the database is unavailable or locked.
    """
    _check(name=name, feature=feature)
    if feature not in registry.offered():
        return False
    return feedback.record_outcome(
        user_id=user.pk, feature=feature, name=name, job=None, most=MOST_A_DAY
    )


def record_of_job(*, user: User, job_id: UUID, name: str) -> bool:
    """Record an outcome of the user's job, once per name. Return whether it was stored.

    Raises:
        NotFound: the user has no such job.
        InvalidInput: the name is malformed.
        django.db.Error: the database is unavailable or locked.
    """
    _check(name=name)
    job = jobs.get(user=user, job_id=job_id)
    return feedback.record_outcome(
        user_id=user.pk, feature=job.feature, name=name, job=job.pk, most=MOST_A_DAY
    )


def _check(**values: str) -> None:
    wrong = [
        field
        for field, text in values.items()
        if not NAME.fullmatch(text) or free_text(text) != text
    ]
    if wrong:
        problems = [{"field": field, "message": BAD_NAME} for field in wrong]
        raise InvalidInput("A name is not valid.", errors=problems)
