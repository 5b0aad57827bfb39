"""The candidate reaches its arm alone. All other users get the live version."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.contrib.auth.models import User

from aifeature import prompts
from aifeature.models import Canary, CanaryStep, Job, Status
from aifeature.policies.percent import canary as purpose_of
from aifeature.policies.percent import place_for
from aifeature.services import controls, jobs
from aifeature.services.execution import job_run
from aifeature.services.jobs import lifecycle
from aifeature.services.rollout import canaries
from tests import proof
from tests.canary_rows import CANDIDATE, SLUG, started

pytestmark = pytest.mark.usefixtures("committed", "sandbox")

DOCUMENT = {"document": "A parcel was sent on Monday and came on Friday."}


def user_at(canary: Canary, *, within: bool, percent: int) -> User:
    """Create users until one is within the share, or outside of it."""
    for number in range(200):
        user: User = User.objects.create_user(f"canary-{canary.pk}-{within}-{number}")
        if (place_for(SLUG, purpose_of(canary.pk), user.pk) < percent) is within:
            return user
    raise AssertionError("no such user")


def submitted(user: User) -> Job:
    return jobs.submit(user=user, slug=SLUG, data=DOCUMENT).job


def ran(job: Job) -> Job:
    job_run.run_feature(job.pk, worker="test")
    job.refresh_from_db()
    return job


def test_candidate_is_served_to_its_arm_until_the_canary_ends(ada: User) -> None:
    proof.open_to_users(SLUG)
    before = submitted(ada)
    assert before.options is None
    canary = started(ada, percent=20)
    step = canary.steps.get()
    candidate = user_at(canary, within=True, percent=20)
    other = user_at(canary, within=False, percent=20)
    first, live, queued = submitted(candidate), submitted(other), submitted(candidate)
    assert first.options == {"canary": {"step": step.pk, "arm": "candidate"}}
    assert live.options == {"canary": {"step": step.pk, "arm": "live"}}
    assert [ran(job).prompt_version for job in (first, live, before)] == [CANDIDATE, "v4", "v4"]

    canaries.share(canary.pk, 30, reason="r", user_id=ada.pk)
    assert ran(submitted(candidate)).prompt_version == CANDIDATE
    assert ran(queued).prompt_version == CANDIDATE  # its step is an earlier one
    waiting = submitted(candidate)
    canaries.stop(canary.pk, reason="r", user_id=ada.pk)
    done = ran(waiting)
    assert (done.status, done.prompt_version) == (Status.SUCCEEDED, "v4")
    assert submitted(candidate).options is None


def test_version_with_models_of_its_own_calls_them(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof.open_to_users(SLUG)
    own = replace(prompts.get(SLUG, "v4"), models=("claude-opus-5-5",))
    given = prompts.get
    monkeypatch.setattr(
        prompts, "get", lambda slug, version: own if slug == SLUG else given(slug, version)
    )
    done = ran(submitted(ada))
    assert (done.status, done.model) == (Status.SUCCEEDED, "claude-opus-5-5")
    assert done.ledger.get(purpose="generation").reason == "route version: the only one"


def test_job_of_another_canary_gets_the_live_version(ada: User) -> None:
    old = started(ada, percent=50)
    candidate = user_at(old, within=True, percent=50)
    waiting = submitted(candidate)
    canaries.stop(old.pk, reason="r", user_id=ada.pk)
    canaries.start(SLUG, CANDIDATE, percent=50, reason="r", user_id=ada.pk)
    assert ran(waiting).prompt_version == "v4"
    assert CanaryStep.objects.count() == 2


def test_candidate_is_not_served_once_another_version_is_live(ada: User) -> None:
    """Without a check: it stops the canary later, or does not run."""
    canary = started(ada, percent=50)
    user = user_at(canary, within=True, percent=50)
    waiting = submitted(user)
    proof.activate(SLUG, "v2")
    assert submitted(user).options is None
    assert ran(waiting).prompt_version == "v2"


def test_staff_and_requeued_jobs_are_in_no_canary(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = started(ada, percent=50)
    user = user_at(canary, within=True, percent=50)
    job = submitted(user)
    Job.objects.filter(pk=job.pk).update(status=Status.FAILED, finished_at=job.deadline_at)
    assert lifecycle.requeue(job_id=job.pk).options is None
    staff = User.objects.create_user("staff", is_staff=True)
    assert submitted(staff).options is None
    monkeypatch.setattr(controls.live, "has", lambda _, prompt: prompt.version != CANDIDATE)
    assert submitted(user).options is None  # this release lacks the candidate
