"""The page of a job shows its state."""

from __future__ import annotations

import pytest
from django.utils import timezone

from aifeature.models import CancelledBy, Job, Status
from aifeature.web import show

OURS = "Our team cancelled this request."


@pytest.mark.parametrize("by", [each for each in CancelledBy if each != CancelledBy.USER])
def test_a_running_job_that_others_end_is_not_its_users_doing(by: CancelledBy) -> None:
    job = Job(status=Status.RUNNING, cancel_requested_at=timezone.now(), cancelled_by=by)
    job.error_message = OURS
    assert show.state(job).sentence == OURS


@pytest.mark.parametrize("by", ["", CancelledBy.USER])
def test_a_running_job_that_its_user_cancels_is_shown_as_such(by: str) -> None:
    job = Job(status=Status.RUNNING, cancel_requested_at=timezone.now(), cancelled_by=by)
    assert show.state(job).sentence.startswith("You cancelled this request.")


@pytest.mark.parametrize(("charge", "is_told"), [(0, False), (7, True)])
def test_text_counts_towards_a_budget_only_if_it_was_charged(charge: int, is_told: bool) -> None:
    job = Job(status=Status.CANCELLED, partial_text="The first", charge_micro=charge)
    assert ("counts towards your budget" in show.state(job).sentence) is is_told
