"""A person with data in every place that can hold some, and another user."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.utils import timezone

from aifeature.guarding import Finding, Guard
from aifeature.models import (
    AccessBlock,
    ApiToken,
    BetaMember,
    ControlChange,
    FeatureControl,
    GuardEvent,
    RateOverride,
    feedback,
)
from aifeature.services.feedback import votes
from aifeature.services.guards import audit
from aifeature.services.streams import entries
from tests.integration.job_rows import make_launch, make_ramp
from tests.integration.privacy.retention.conftest import EndedJob, call, ended

__all__ = ["ended"]

NAME = "ada.lovelace"
ADDRESS = "ada@countess.example"
SAID = "a secret that Ada told us"
KEY = "order-of-ada-1843"
PERSONAL = (NAME, ADDRESS, "Augusta", "Lovelace", SAID, KEY, "laptop of Ada")


@pytest.fixture
def ada(committed: None) -> User:
    """A user with real commits, since an erasure is its own transaction."""
    return User.objects.create_user(
        NAME,
        ADDRESS,
        "correct horse",
        first_name="Augusta",
        last_name="Lovelace",
        is_staff=True,
        last_login=timezone.now(),
    )


@pytest.fixture
def bob(committed: None) -> User:
    return User.objects.create_user("bob", "bob@example.com", "x")


@pytest.fixture
def store(committed: None, settings: Any) -> Iterator[redis.Redis]:
    """Redis, without any text stream."""
    client = redis.Redis.from_url(settings.REDIS_URL, protocol=2)
    for key in client.scan_iter("aif:stream:*"):
        client.delete(key)
    yield client
    client.close()


@pytest.fixture
def full_life(ada: User, bob: User, ended: EndedJob, store: redis.Redis) -> User:
    """ada, with data in every place that can hold personal data."""
    job = ended(days_ago=0.01, idempotency_key=KEY, request_digest="d" * 64, epoch=2)
    call(job, state="unknown", cost_micro=0, output="")
    votes.rate(user=ada, job_id=job.pk, rating=-1, reasons=["wrong"], comment=f"It says {SAID}.")
    feedback.answer_nps(user_id=ada.pk, feature="summarize", score=9, days=90)
    ended(days_ago=3, status="failed", error_message=f"About {SAID}.", error_code="poison")
    call(ended(days_ago=5, user=bob, idempotency_key=KEY))
    for user_id, about in ((ada.pk, None), (None, job.pk), (bob.pk, None)):
        audit.record(
            user_id=user_id,
            feature="summarize",
            job=about,
            stage=GuardEvent.Stage.INPUT if user_id else GuardEvent.Stage.ANSWER,
            action=GuardEvent.Action.FLAGGED,
            findings=[Finding(Guard.INJECTION, "override", SAID)],
        )
    for number in (1, 2):
        store.xadd(entries.key(job.pk, number), {"attempt": 1, "offset": 0, "text": SAID})
    token, _ = ApiToken.issue(user_id=ada.pk, name="laptop of Ada")
    for person in (ada, bob):
        Client().force_login(person)
    for model in (AccessAttempt, AccessFailureLog, AccessLog):
        extra = {"failures_since_start": 1} if model is AccessAttempt else {}
        for name in (NAME.upper(), ADDRESS, "bob"):
            model.objects.create(username=name, ip_address="192.0.2.1", **extra)
    FeatureControl.objects.create(feature="summarize").beta_users.set([ada, bob])
    for person, maker in ((ada, bob), (bob, ada)):
        BetaMember.objects.create(feature="summarize", user=person)
        reason = f"About {SAID}." if person == ada else "Busy."
        AccessBlock.objects.create(user=person, reason=reason, message="No.", created_by=maker)
    RateOverride.objects.create(user=ada, in_flight=1, reason=f"About {SAID}.", created_by=bob)
    RateOverride.objects.create(user=bob, in_flight=2, reason="Busy.", created_by=ada)
    make_launch(note="Spring.", announced_by=ada)
    make_ramp(reason="Summer.", created_by=ada)
    ada.groups.add(Group.objects.create(name="on-call"))
    ada.user_permissions.add(Permission.objects.all()[0])
    ControlChange.objects.create(feature="summarize", field="percent", reason="Ramp.", user=ada)
    log = LogEntry.objects.log_actions
    log(bob.pk, [ada], CHANGE, "Changed.", single_object=True)
    log(bob.pk, [token], CHANGE, "Revoked.", single_object=True)
    log(ada.pk, [bob], CHANGE, "Changed.", single_object=True)
    return ada
