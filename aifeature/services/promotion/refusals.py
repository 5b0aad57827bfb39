"""Refused activations: the error, and an audit row for each attempt by a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from django.db import transaction

from aifeature.models import ControlChange, FeatureControl
from aifeature.models.functions import database_now

FIELD: Final = "prompt_refused"
"""`ControlChange.field` of a refused attempt. Nothing was changed."""

MOST: Final = 20
"""Most rows of one person and feature within a day."""

AGAIN: Final = timedelta(minutes=1)
"""Time for which the same refusal is not noted again."""


class RefusedError(Exception):
    """The prompt does not become live. The text names the cause and the fix."""

    text_is_ours = True


class OutOfDateError(RefusedError):
    """Another activation became live since the operator opened the page. It may name a person."""


@contextmanager
def noted(slug: str, what: str, *, live: str, reason: str, user_id: int | None) -> Iterator[None]:
    """Write an audit row if the block raises RefusedError and a person attempted it.

    Enter it outside the transaction of the attempt, which is rolled back. A page that was out of
    date is not noted, and a storm of clicks writes at most `MOST` rows a day.

    Args:
        slug: A feature of this code.
        what: The attempt, such as a version of the code.
        live: The live version; empty if there is none.
        reason: The person's reason.
        user_id: The person. None: a check or a command, which reports refusals itself.
    """
    try:
        yield
    except OutOfDateError:
        raise
    except RefusedError as refusal:
        if user_id is not None:
            _note(slug, f"{what} refused: {refusal}", live=live, reason=reason, user_id=user_id)
        raise


def _note(slug: str, text: str, *, live: str, reason: str, user_id: int) -> None:
    now = database_now()
    with transaction.atomic():
        # One attempt at a time, so that simultaneous clicks are counted.
        FeatureControl.objects.select_for_update().filter(feature=slug).first()
        own = ControlChange.objects.filter(feature=slug, field=FIELD, user_id=user_id)
        found = list(own.filter(at__gt=now - timedelta(days=1)).values_list("at", "new")[:MOST])
        if len(found) >= MOST or any(at > now - AGAIN and new == text for at, new in found):
            return
        ControlChange.objects.create(
            feature=slug,
            field=FIELD,
            old=live,
            new=text,
            reason=reason.strip() or "No reason was given.",
            user_id=user_id,
        )
