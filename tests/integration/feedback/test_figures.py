"""Figures of a feature, counted by hand, and the value of a feature against its hold-out."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from aifeature.models import (
    ControlChange,
    FeatureControl,
    Feedback,
    Job,
    JobSignal,
    NpsAnswer,
    Origin,
    Stage,
    Status,
)
from aifeature.policies.intervals import Share, newcombe
from aifeature.services.feedback import figures, holdout, outcomes, signals, votes
from aifeature.services.feedback.signals import Signal
from aifeature.services.privacy import retention
from tests import proof

pytestmark = pytest.mark.django_db


def job(name: str, days_ago: float, **values: Any) -> Job:
    """A job of the user with this name."""
    user, _ = User.objects.get_or_create(username=name)
    at = timezone.now() - timedelta(days=days_ago)
    defaults: dict[str, Any] = {
        "feature": "summarize",
        "status": Status.SUCCEEDED,
        "result": {"summary": "x"},
        "input": {"document": "x"},
        "prompt_version": "v1",
        "created_at": at,
        "finished_at": at,
        "deadline_at": at,
    }
    return Job.objects.create(user=user, **{**defaults, **values})


def rate(row: Job, rating: int, **more: Any) -> None:
    votes.rate(user=row.user, job_id=row.pk, rating=rating, **more)


def sign(row: Job, signal: Signal) -> None:
    assert signals.note(user=row.user, job_id=row.pk, signal=signal)


def test_figures_are_those_counted_by_hand_also_without_content() -> None:
    first = job("ada", 20, request_digest="a")
    job("ada", 20 - 0.01, request_digest="a")  # the same input, 14 minutes later
    later = job("ada", 15, request_digest="a", prompt_version="v2")
    failed = job("ada", 15, status=Status.FAILED, result=None)
    once = job("bob", 10)
    job("carol", 3, status=Status.CANCELLED, cancelled_by="user", result=None)
    left, read = job("dave", 9), job("dave", 9, prompt_version="v2")
    job("dave", 1, status=Status.QUEUED, result=None, finished_at=None)
    job("eve", 100)
    job("eve", 9)
    job("mallory", 5, origin=Origin.EVAL)
    job("mallory", 5, feature="triage")

    rate(first, -1, reasons=["wrong", "too_long"], comment="It is wrong.")
    rate(later, 1)
    rate(failed, -1, comment="Again.")
    rate(once, -1, reasons=["wrong"])
    rate(once, 1, reasons=["clear"])
    rate(read, -1)
    sign(first, Signal.COPIED)
    sign(once, Signal.EDITED)
    for row in (left, read):
        sign(row, Signal.ABANDONED)
    for score in (10, 9, 3, None):
        NpsAnswer.objects.create(user=first.user, feature="summarize", score=score)
    for row in (first, later, once):
        assert outcomes.record_of_job(user=row.user, job_id=row.pk, name="ticket_closed")
    stranger = User.objects.create_user("zed")
    assert outcomes.record(user=stranger, feature="summarize", name="ticket_closed")

    def counted() -> tuple[Any, ...]:
        found = figures.of("summarize", days=30)
        did, said = found.implicit, found.explicit
        return (
            (did.completed, did.abandoned, did.came_back, did.copied, did.edited, did.regenerated),
            (said.down, said.voted, said.complaints, said.by_version, said.reasons),
            (said.nps.score, said.scores, said.not_now),
            [(each.name, each.count, each.users) for each in found.outcomes],
        )

    expected = (
        (Share(6, 9), Share(2, 9), Share(1, 3), Share(1, 7), Share(1, 7), Share(1, 7)),
        (
            *(Share(2, 4), Share(4, 7), 1, {"v1": Share(1, 2), "v2": Share(1, 2)}),
            {"clear": 1, "wrong": 1, "too_long": 1},
        ),
        (pytest.approx(100 / 3), {10: 1, 9: 1, 3: 1}, 1),
        [("ticket_closed", 3, Share(2, 5))],
    )
    assert counted() == expected
    assert retention.blank_expired(days=lambda _: 0) == 12
    assert not Feedback.objects.exclude(comment="", answer=None).exists()
    assert counted() == expected
    sign(left, Signal.READ)
    assert figures.of("summarize", days=30).implicit.abandoned == Share(1, 9)
    assert figures.of("answer", days=30).explicit.down.rate is None


def place(seed: str, user: User) -> int:
    digest = hashlib.sha256(f"{seed}:{user.pk}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 100


def test_the_hold_out_is_compared_with_all_who_could_get_the_feature(
    django_assert_max_num_queries: Any,
) -> None:
    made = [User(username=f"u{number}") for number in range(400)]
    people = User.objects.bulk_create(made)
    control = FeatureControl.objects.create(
        feature="summarize", stage=Stage.STAFF, percent=60, holdout_percent=30
    )
    assert holdout.compare("summarize") is None, "nothing says when it began"
    ControlChange.objects.create(feature="summarize", field="holdout_percent", reason="r")
    unopened = holdout.compare("summarize")
    assert unopened is not None
    assert not unopened.is_open
    proof.activate("summarize")
    FeatureControl.objects.update(stage=Stage.PERCENT)

    reached = [user for user in people if place("summarize", user) < 60]
    held = [user for user in reached if place("summarize:holdout", user) < 30]
    others = [user for user in reached if user not in held]
    assert min(len(held), len(others)) > 30
    invited, staff = others.pop(), held.pop()
    control.beta_users.add(invited)
    User.objects.filter(pk=staff.pk).update(is_staff=True)

    def report(users: list[User], **more: Any) -> None:
        values = {"kind": "outcome", "name": "ticket_closed", "feature": "summarize", **more}
        JobSignal.objects.bulk_create([JobSignal(user=user, **values) for user in users])

    outside = [user for user in people if user not in reached]
    report([*held[:10], *others[:60], invited, staff, *outside])
    report(held[:5])  # twice is once
    report([others[70]], job=job(others[70].username, 0))  # no user of the hold-out could have it
    for name in ("assigned", "refunded", "reopened"):
        report(held[:1], name=name)
    report(held, at=timezone.now() - timedelta(days=1))
    report(held, feature="triage")
    report(held, kind="implicit")

    with django_assert_max_num_queries(5):  # for any number of outcomes
        found = holdout.compare("summarize")
    assert found is not None
    closed, assigned, *_ = found.outcomes
    assert (assigned.held_out.count, assigned.others.count) == (1, 0)
    assert (closed.held_out, closed.others) == (Share(10, len(held)), Share(60, len(others)))
    assert closed.difference == pytest.approx(60 / len(others) - 10 / len(held))
    assert closed.interval == newcombe(closed.others, closed.held_out)

    User.objects.filter(pk__in=[user.pk for user in held[19:]]).update(is_active=False)
    few = holdout.compare("summarize")
    assert few is not None
    assert (few.outcomes[0].difference, few.outcomes[0].interval) == (None, None)
    FeatureControl.objects.update(holdout_percent=0)
    assert holdout.compare("summarize") is None
