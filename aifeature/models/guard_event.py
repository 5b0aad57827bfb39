"""The audit log of the guards: what they found, and what was done about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from aifeature.guarding import MAX_EVIDENCE, Finding
from aifeature.models.functions import as_json, rows
from aifeature.models.job import Job

MAX_CATEGORY: Final = 40
FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LAST: Final = datetime(3000, 1, 1, tzinfo=UTC)
_MAX_COUNT: Final = 2_147_483_647


class GuardEvent(models.Model):
    """A finding of a guard, or a fault of one.

    Never edited, with two exceptions: an erasure blanks `evidence`, and retention deletes rows
    that are older than GUARD_EVENT_DAYS.
    """

    class Stage(models.TextChoices):
        INPUT = "input"
        ANSWER = "answer"
        STREAM = "stream", "Streamed text"
        GUARD = "guard", "Fault of the guard itself"

    class Action(models.TextChoices):
        FLAGGED = "flagged"
        REDACTED = "redacted", "Replaced by a placeholder"
        REMOVED = "removed"
        TIGHTENED = "tightened", "Stricter rules for the answer"
        REFUSED = "refused"
        WITHHELD = "withheld", "Fallback shown instead"
        FAILED_OPEN = "failed_open", "Guard failed; went on without it"
        FAILED_CLOSED = "failed_closed", "Guard failed; refused"

    at = models.DateTimeField(db_default=Now())
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,  # the index below begins with it
        help_text="Empty: a call of no user.",
    )
    feature = models.CharField(max_length=40)
    job = models.ForeignKey(
        Job,
        models.PROTECT,
        null=True,
        related_name="guard_events",
        db_constraint=False,  # making it would lock the jobs; no job is ever deleted
        help_text="Empty: the request was refused before it became a job.",
    )
    stage = models.CharField(max_length=8, choices=Stage)
    guard = models.CharField(max_length=40)
    category = models.CharField(max_length=MAX_CATEGORY)
    action = models.CharField(max_length=16, choices=Action)
    count = models.PositiveIntegerField(default=1, db_default=1)
    evidence = models.CharField(
        max_length=MAX_EVIDENCE,
        blank=True,
        default="",
        db_default="",
        help_text="Words in which it was found, with personal data replaced.",
    )

    class Meta:
        verbose_name = "guard event"
        ordering = ("-at", "-id")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(at__range=(FIRST, LAST)), name="guardevent_time_is_finite"
            ),
            models.CheckConstraint(
                condition=models.Q(
                    stage__in=["input", "answer", "stream", "guard"],
                    action__in=[
                        *("flagged", "redacted", "removed", "tightened", "refused", "withheld"),
                        *("failed_open", "failed_closed"),
                    ],
                ),
                name="guardevent_words_are_known",
            ),
        )
        indexes = (
            models.Index(fields=["-at", "-id"], name="guardevent_newest"),
            models.Index(fields=["user", "-at"], name="guardevent_of_user"),
            models.Index(fields=["feature", "-at"], name="guardevent_of_feature"),
            models.Index(fields=["category", "-at"], name="guardevent_of_category"),
            models.Index(
                fields=["-at"],
                condition=models.Q(stage="input", action__in=["flagged", "tightened", "refused"]),
                name="guardevent_of_attacks",
            ),
        )

    def __str__(self) -> str:
        return f"{self.guard} {self.category}: {self.action}"


@dataclass(frozen=True, slots=True)
class NewGuardEvent:
    """A finding with its stage and with what was done, to be stored."""

    stage: GuardEvent.Stage
    action: GuardEvent.Action
    finding: Finding


def events_json(events: Iterable[NewGuardEvent]) -> str | None:
    """Return the events as the SQL functions take them; None if there are none."""
    return as_json([_row(event) for event in events] or None)


def record(
    events: Iterable[NewGuardEvent], *, user_id: int | None, feature: str, job_id: UUID | None
) -> None:
    """Store events in one statement. They get the same `at`.

    Raises:
        django.db.Error: the database is unavailable, locked or refuses.
    """
    if (found := events_json(events)) is not None:
        rows("aif_record_guard_events", user_id, feature, job_id, found)


def flagged_today(user_id: int) -> tuple[int, datetime]:
    """Return the user's requests of this UTC day with an injection flag, and the database's time.

    Requests that were refused before they became a job count too.
    """
    requests, now = rows("aif_flagged_today", user_id)[0]
    return requests, now


def delete_older(days: int, *, limit: int) -> int:
    """Delete up to `limit` events that are older than `days` days. Return their number."""
    done: int = rows("aif_delete_guard_events", days, limit)[0][0]
    return done


def _row(event: NewGuardEvent) -> dict[str, Any]:
    found = event.finding
    return {
        "stage": str(event.stage),
        "guard": str(found.guard),
        "category": found.category[:MAX_CATEGORY],
        "action": str(event.action),
        "count": max(0, min(found.count, _MAX_COUNT)),
        "evidence": found.evidence[:MAX_EVIDENCE],
    }
