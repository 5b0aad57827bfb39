"""The jobs of a closed account end, without further calls or charges."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from aifeature.models import Attempt, CancelledBy, Job, SpendWindow, Status, transitions
from aifeature.models.transitions import AttemptRefusedError
from aifeature.services.dispatch import recovery
from tests.integration.job_rows import MakeJob, begin, claim


def close(user: User) -> None:
    """Close an account past all services."""
    User.objects.filter(pk=user.pk).update(is_active=False)


def test_jobs_of_a_closed_account_end(make_job: MakeJob, ada: User, bob: User) -> None:
    waiting, running = make_job(), claim(make_job())
    others = make_job(user=bob)
    close(ada)
    recovery.sweep()
    waiting.refresh_from_db()
    stopped, kept = Job.objects.get(pk=running.job), Job.objects.get(pk=others.pk)
    assert (waiting.status, waiting.cancelled_by) == (Status.CANCELLED, CancelledBy.ACCOUNT)
    assert waiting.error_message == "Your account was closed, so this request was cancelled."
    assert (stopped.status, stopped.cancelled_by) == (Status.RUNNING, CancelledBy.ACCOUNT)
    assert stopped.cancel_requested_at is not None
    assert (kept.status, kept.cancelled_by) == (Status.QUEUED, "")


def test_a_run_of_a_closed_account_sends_nothing(make_job: MakeJob, ada: User) -> None:
    job = make_job()
    run = claim(job)
    close(ada)
    with pytest.raises(AttemptRefusedError, match="cancelled"):
        begin(run)
    assert not Attempt.objects.exists()
    assert not SpendWindow.objects.exclude(spent_micro=0, held_micro=0).exists()
    transitions.finish(run, Status.CANCELLED, error_code="cancelled")
    job.refresh_from_db()
    assert (job.status, job.cancelled_by, job.charge_micro) == ("cancelled", "account", 0)


def test_an_earlier_cancellation_is_kept(make_job: MakeJob, ada: User) -> None:
    run = claim(make_job())
    transitions.cancel(run.job, user_id=ada.pk, message="You cancelled this request.")
    close(ada)
    recovery.sweep()
    with pytest.raises(AttemptRefusedError):
        begin(run)
    assert Job.objects.get(pk=run.job).cancelled_by == CancelledBy.USER
