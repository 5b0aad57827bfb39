"""A switch reaches the jobs of its feature while it is pulled, and no others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now

from aifeature.models import KillMode, Status
from aifeature.services.controls import switch
from aifeature.services.dispatch import recovery
from tests.integration.job_rows import MakeJob

pytestmark = pytest.mark.django_db


def stop(user: User, *, mode: KillMode, slug: str = "summarize") -> None:
    switch.stop(slug, reason="r", mode=mode, user_id=user.pk)


@pytest.mark.parametrize("slug", ["summarize", "_everything"])
def test_after_its_release_no_job_is_cancelled_any_more(
    make_job: MakeJob, ada: User, slug: str
) -> None:
    stop(ada, mode=KillMode.CANCEL, slug=slug)
    switch.release(slug, reason="Mended.", user_id=ada.pk)
    job = make_job()
    recovery.sweep()
    job.refresh_from_db()
    assert (job.status, job.wait_reason) == (Status.QUEUED, "")
    assert job.published_at is not None


def test_jobs_of_other_features_are_told_nothing(make_job: MakeJob, ada: User) -> None:
    held, other = make_job(), make_job(feature="triage")
    stop(ada, mode=KillMode.HOLD)
    assert switch.settle_stopped() == 1
    for job in (held, other):
        job.refresh_from_db()
    assert (held.wait_reason, other.wait_reason) == ("feature_paused", "")


def test_who_waits_for_something_else_is_still_told_so(make_job: MakeJob) -> None:
    later = Now() + timedelta(seconds=60)
    told = {"wait_reason": "provider_waiting", "error_message": "We keep trying."}
    job = make_job(run_at=later, **told)
    recovery.sweep()
    job.refresh_from_db()
    assert (job.wait_reason, job.error_message) == tuple(told.values())
