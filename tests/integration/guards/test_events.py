"""The guards' audit log: stored with the job, never changed, deleted when its time is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from aifeature.guarding import Finding, Guard
from aifeature.models import GuardEvent, Job, NewGuardEvent, functions, guard_event, submission
from aifeature.models.submission import Outcome
from aifeature.services.guards import audit
from tests.integration.job_rows import MakeJob

pytestmark = pytest.mark.django_db

Stage, Action = GuardEvent.Stage, GuardEvent.Action

FOUND = (
    NewGuardEvent(Stage.INPUT, Action.TIGHTENED, Finding(Guard.INJECTION, "override", "Ignore \0")),
    NewGuardEvent(Stage.INPUT, Action.REDACTED, Finding(Guard.PERSONAL_DATA, "email", count=3)),
)


def store(job: Job, *events: NewGuardEvent) -> Outcome:
    return submission.store(job, deadline_s=60, publish=False, max_concurrency=None, events=events)


def record(user: User, feature: str = "summarize", **values: Any) -> bool:
    return audit.record(
        user_id=user.pk,
        feature=feature,
        job=None,
        stage=Stage.INPUT,
        action=Action.FLAGGED,
        **values,
    )


def test_a_job_is_stored_with_its_events_in_one_statement(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    rows = functions.rows

    def counted(function: str, *arguments: Any) -> Any:
        calls.append(function)
        return rows(function, *arguments)

    monkeypatch.setattr(submission, "rows", counted)
    job = Job(user=ada, feature="summarize", input={"document": "x"}, options={"tightened": True})
    assert store(job, *FOUND) == Outcome.STORED
    assert calls == ["aif_submit_checked"]
    assert Job.objects.get().options == {"tightened": True}
    values = ("user", "job", "feature", "guard", "category", "action", "count", "evidence")
    assert list(GuardEvent.objects.order_by("id").values_list(*values)) == [
        (ada.pk, job.pk, "summarize", "injection", "override", "tightened", 1, "Ignore \ufffd"),
        (ada.pk, job.pk, "summarize", "personal_data", "email", "redacted", 3, ""),
    ]
    assert set(GuardEvent.objects.values_list("at", flat=True)) == {job.created_at}


def test_a_job_that_is_not_stored_leaves_no_events(ada: User) -> None:
    def job() -> Job:
        return Job(user=ada, feature="summarize", input={}, idempotency_key="k")

    assert store(job()) == Outcome.STORED
    assert store(job(), *FOUND) == Outcome.EXISTS
    assert not GuardEvent.objects.exists()
    assert Job.objects.get().options is None


def test_only_an_erasure_changes_an_event_and_only_retention_deletes_it(
    ada: User, make_job: MakeJob
) -> None:
    job = make_job()
    long_ago = timezone.now() - timedelta(days=181)
    event = GuardEvent.objects.create(
        user=ada, job=job, feature="summarize", stage="input", guard="injection",
        category="override", action="flagged", evidence="Ignore this.", at=long_ago,
    )  # fmt: skip
    rows = GuardEvent.objects.filter(pk=event.pk)
    other: dict[str, Any] = {
        "user": None,
        "job": None,
        "feature": "triage",
        "stage": "answer",
        "guard": "leak",
        "category": "role",
        "action": "refused",
        "count": 2,
        "at": timezone.now(),
        "evidence": "Something else.",
    }
    assert {f.name for f in GuardEvent._meta.concrete_fields} == {*other, "id"}
    for name, value in other.items():
        with pytest.raises(IntegrityError, match="only added to"), transaction.atomic():
            rows.update(**{name: value})
    with pytest.raises(IntegrityError, match="Only retention deletes"), transaction.atomic():
        rows.delete()
    with pytest.raises(IntegrityError, match="closed account"), transaction.atomic():
        rows.update(evidence="")
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert rows.update(evidence="") == 1


def test_retention_deletes_what_is_older_than_its_days(ada: User) -> None:
    days = (5, 179, 181, 182, 183)
    for age in days:
        at = timezone.now() - timedelta(days=age)
        GuardEvent.objects.create(
            user=ada, feature="f", stage="input", guard="g", category="c", action="flagged", at=at
        )
    assert audit.delete_expired(batch=2) == 3
    assert GuardEvent.objects.count() == 2
    assert guard_event.delete_older(180, limit=9) == 0
    with pytest.raises(IntegrityError, match="Only retention deletes"), transaction.atomic():
        guard_event.delete_older(3, limit=9)  # shorter than any retention


def test_a_row_that_the_database_refuses_is_logged_without_content_and_not_raised(
    ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    finding = Finding(Guard.LEAK, "canary", "Nobody reads this.")
    assert not record(ada, feature="f" * 41, findings=[finding])
    assert "not stored: leak canary flagged" in caplog.text
    assert "Nobody" not in caplog.text
    assert record(ada, findings=[finding]), "the transaction goes on"
    assert record(ada, findings=[])
    assert GuardEvent.objects.count() == 1


def test_words_and_names_that_are_too_long_are_cut(ada: User) -> None:
    assert record(ada, findings=[Finding(Guard.INJECTION, "c" * 50, "e" * 400, count=2**40)])
    event = GuardEvent.objects.get()
    assert (len(event.category), len(event.evidence), event.count) == (40, 300, 2**31 - 1)
