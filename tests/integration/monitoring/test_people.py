"""The page about people: who spends, is flagged and runs into limits, and what they read."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client

from aifeature.models import (
    AccessBlock,
    GuardEvent,
    Job,
    Origin,
    RateOverride,
    RefusedSubmissions,
    SpendWindow,
    Status,
)
from aifeature.models.functions import database_now
from aifeature.services import jobs
from aifeature.services.controls import effective, throttles
from aifeature.services.jobs.refusals import RateLimited
from aifeature.services.monitoring import people, refused_submissions
from aifeature.services.monitoring.people import By
from aifeature.services.monitoring.refused_submissions import FLUSH_S, MOST_KEYS, RefusedCounts
from tests import proof
from tests.integration.job_rows import MakeJob

pytestmark = pytest.mark.django_db


def spent(user: User, micro: int, *, ago: int = 0, slug: str = "summarize") -> None:
    day = database_now().date() - timedelta(days=ago)
    for scope, key in (("user", f"{slug}:{user.pk}"), ("account", str(user.pk))):
        row, _ = SpendWindow.objects.get_or_create(scope=scope, key=key, day=day)
        row.own_spend_micro += micro
        row.save()


def flagged(user: User, action: str = "flagged", *, ago: int = 0, **fields: Any) -> None:
    values = {"feature": "summarize", "stage": "input", "guard": "injection", **fields}
    GuardEvent.objects.create(
        at=Now() - timedelta(days=ago), user=user, category="override", action=action, **values
    )


def names(**chosen: Any) -> list[tuple[str, int]]:
    by = chosen.get("by", By.SPEND)
    return [(each.name, each.figures[by]) for each in people.top(**chosen)]


@pytest.fixture
def planted(ada: User, bob: User, make_job: MakeJob) -> None:
    """Figures of two users today, of one a week ago, and of what is no user's."""
    spent(ada, 500)
    spent(bob, 900)
    spent(bob, 70, slug="answer")
    spent(ada, 5_000, ago=6)
    spent(ada, 90_000, ago=30)
    job = make_job(user=bob)
    flagged(ada)
    flagged(ada, "refused")
    flagged(bob, job=job)
    flagged(bob, guard="foul_language", job=job)  # the same request
    flagged(bob, "removed", guard="hidden_characters")
    flagged(bob, ago=40)
    for user, n in ((ada, 1), (bob, 2)):
        for _ in range(n):
            cancelled = make_job(user=user)
            Job.objects.filter(pk=cancelled.pk).update(
                status=Status.CANCELLED, cancelled_by="user", finished_at=Now()
            )
    for fields in ({}, {"origin": Origin.EVAL}):
        failed = make_job(user=ada, **fields)
        Job.objects.filter(pk=failed.pk).update(
            status=Status.FAILED, error_code="answer_refused", finished_at=Now()
        )


@pytest.mark.usefixtures("planted")
def test_each_figure_is_of_the_chosen_days_and_feature() -> None:
    assert names() == [("bob", 970), ("ada", 500)]
    assert names(slug="summarize") == [("bob", 900), ("ada", 500)]
    assert names(days=7) == [("ada", 5_500), ("bob", 970)]
    assert names(days=30) == [("ada", 5_500), ("bob", 970)]
    assert names(slug="answer") == [("bob", 70)]
    assert names(by=By.FLAGS) == [("ada", 2), ("bob", 1)]
    assert names(by=By.REFUSED) == [("ada", 1)]
    assert names(by=By.CANCELS) == [("bob", 2), ("ada", 1)]
    assert names(by=By.UNANSWERED) == [("ada", 1)]
    assert names(by=By.CANCELS, most=1) == [("bob", 2)]
    bob, ada = people.top()
    assert (ada.figures[By.FLAGS], bob.figures[By.CANCELS], bob.figures[By.LIMITED]) == (2, 2, 0)


def test_refused_submissions_are_counted_in_memory_and_stored_together(
    ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    counts = RefusedCounts(clock=lambda: now[0])
    monkeypatch.setattr("aifeature.services.jobs.refused_counts.counts", counts)
    proof.open_to_users("summarize", requests_per_minute=Decimal(1))
    for user in (ada, ada, ada, bob):
        try:
            jobs.submit(user=user, slug="summarize", data={"document": "Anna left."})
        except RateLimited:
            continue
    counts.store()
    for code in ("invalid_input", "feature_paused"):
        counts.note(ada.pk, "summarize", code)
    assert not counts.must_store(), "nothing waits"
    counts.note(bob.pk, "summarize", "budget_exhausted")
    assert not counts.must_store(), "the last flush was just now"
    now[0] += FLUSH_S
    counts.note(0, "summarize", "rate_limited")  # a user who was deleted meanwhile
    counts.store()
    assert names(by=By.LIMITED) == [("ada", 2), ("bob", 1)]
    RefusedSubmissions.objects.update(day=database_now().date() - timedelta(days=41))
    assert refused_submissions.prune() == 2


def test_a_later_request_stores_the_counts(ada: User, client: Client) -> None:
    refused_submissions.counts.note(ada.pk, "summarize", "access_blocked")
    client.get("/")
    assert names(by=By.BLOCKED) == [("ada", 1)]


def test_memory_is_bounded_and_an_outage_loses_no_count(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = RefusedCounts(clock=lambda: 0.0)
    for n in range(MOST_KEYS + 1):
        counts.note(n, "summarize", "rate_limited")
    assert len(counts._counts) == MOST_KEYS

    def fail(*_: Any) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(refused_submissions, "rows", fail)
        counts.store()
    assert len(counts._counts) == MOST_KEYS


def override(user: User, **values: Any) -> None:
    RateOverride.objects.create(user=user, reason="Secret.", **values)
    effective.cache.clear()


def test_an_operators_throttle_is_explained_without_its_reason(
    ada: User, bob: User, opened: None
) -> None:
    in_a_day = database_now() + timedelta(days=1)
    override(ada, feature="summarize", requests_per_minute=Decimal("0.1"), expires_at=in_a_day)
    (told,) = throttles.notices(ada.pk, "summarize")
    assert told == (
        f"Our team lowered your limits for Summarise a document until {in_a_day:%-d %B, %H:%M} UTC,"
        " at most one in 10 minutes. If this is a mistake, ask our team: they can lift the limit."
    )
    assert throttles.notices(ada.pk, "answer") == []
    override(bob, feature="summarize", requests_per_minute=Decimal(999_999))
    assert throttles.notices(bob.pk) == [], "an exception that raises the rate needs no sentence"
    override(bob, requests_per_minute=Decimal(2))
    assert throttles.notices(bob.pk, "summarize") == [], "that of the feature precedes"
    assert "for this site, at most 2 a minute" in throttles.notices(bob.pk, "answer")[0]


def test_the_page_shows_what_is_in_force_and_what_the_user_reads(ada: User, opened: None) -> None:
    spent(ada, 1)
    override(ada, feature="summarize", requests_per_minute=Decimal(1))
    AccessBlock.objects.create(user=ada, feature="summarize", reason="Secret.", message="Blocked.")
    AccessBlock.objects.create(user=ada, feature="answer", reason="Secret.")
    AccessBlock.objects.create(
        user=ada, reason="Old.", message="Old.", expires_at=Now() - timedelta(days=1)
    )
    (person,) = people.top()
    assert [block.feature for block in person.blocks] == ["answer", "summarize"]
    assert len(person.overrides) == 1
    assert person.reads[:2] == (people.UNSEEN, "Blocked.")
    assert "Secret" not in " ".join(person.reads)
    assert people.top(slug="answer") == [], "no spend there"
