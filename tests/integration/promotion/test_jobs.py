"""Jobs that were accepted get a prompt that is live, or wait."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from aifeature.models import Attempt, Job, Status
from aifeature.services import controls
from aifeature.services.execution import job_run
from tests import proof
from tests.integration.job_rows import MakeJob

pytestmark = pytest.mark.usefixtures("committed", "sandbox")

VALUE = {"document": "A parcel was sent on Monday and came on Friday."}


def ran(make_job: MakeJob) -> Job:
    job = make_job(input=VALUE)
    job_run.run_feature(job.pk, worker="test")
    job.refresh_from_db()
    return job


def test_users_get_what_is_live_and_staff_try_what_is_not(make_job: MakeJob, ada: User) -> None:
    proof.activate("summarize", "v2")
    controls.change("summarize", {"prompt_version": "v4"}, reason="r", check_name="test")
    job = ran(make_job)
    assert (job.status, job.prompt_version) == (Status.SUCCEEDED, "v2")
    User.objects.filter(pk=ada.pk).update(is_staff=True)
    assert ran(make_job).prompt_version == "v4"


def test_a_job_waits_as_paused_where_nothing_is_live(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was accepted by a release with a live prompt, and this worker's release has none."""
    proof.open_to_users("summarize")
    monkeypatch.setattr(controls.live, "has", lambda *_: False)
    job = ran(make_job)
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "feature_paused", 0)
    assert not Attempt.objects.exists()
