"""A limit that an operator changes holds for what waits and what comes, in both directions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db.models.functions import Now
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from aifeature import registry
from aifeature.models import Job, RateOverride, SpendWindow, Status
from aifeature.models.transitions import AttemptRefusedError, Caps, Claimed
from aifeature.services.controls import effective, rate_overrides, rates
from aifeature.services.controls.effective import GLOBAL
from tests.integration.execution.test_gated import set_control, waits
from tests.integration.execution.test_job_run import run
from tests.integration.job_rows import MakeJob, begin, claim
from tests.sandbox_server import SandboxServer

pytestmark = [pytest.mark.usefixtures("committed")]

FAR = timedelta(minutes=10)


def waiting(make_job: MakeJob, code: str = "user_tokens", **values: Any) -> Job:
    return make_job(wait_reason=code, run_at=Now() + FAR, **values)


@pytest.mark.parametrize("slug", ["summarize", GLOBAL])
@pytest.mark.parametrize("value", [{"tokens_per_minute": 9_999}, {"user_in_flight": 9}])
def test_jobs_that_wait_for_a_rate_are_looked_at_again_when_it_changes(
    make_job: MakeJob, opened: None, slug: str, value: dict[str, int]
) -> None:
    job, other = waiting(make_job), waiting(make_job, code="provider_paused")
    effective.change(slug, value, reason="test", check_name="test")
    assert waits(job) <= 1.0
    assert waits(other) > 500, "it waits for something else"
    Job.objects.update(run_at=Now() + FAR)
    effective.change(slug, value, reason="test", check_name="test")
    assert waits(job) > 500, "nothing changed"


def test_jobs_of_a_user_are_looked_at_again_when_their_exception_changes(
    make_job: MakeJob, opened: None, ada: User, bob: User
) -> None:
    mine, others = waiting(make_job), waiting(make_job, user=bob)
    override = RateOverride(user=ada, tokens_per_minute=5, reason="test")
    rate_overrides.save(override, user_id=ada.pk)
    assert waits(mine) <= 1.0
    assert waits(others) > 500
    Job.objects.update(run_at=Now() + FAR)
    rate_overrides.lift(override, reason="test", user_id=ada.pk)
    assert waits(mine) <= 1.0


def test_a_job_that_overdrew_its_rate_goes_on_when_the_rate_is_raised(
    make_job: MakeJob, opened: None, sandbox: SandboxServer
) -> None:
    """Its user had sent as much as the old rate allows in an hour."""
    set_control(tokens_per_minute=100)
    assert run(make_job(input={"document": "x " * 2_500})).status == Status.SUCCEEDED
    patient = Now() + timedelta(seconds=3_000)
    job = run(make_job(input={"document": "x " * 2_500}, deadline_at=patient))
    assert (job.wait_reason, waits(job) > 100) == ("user_tokens", True)
    set_control(tokens_per_minute=10_000_000)
    assert waits(job) <= 1.0
    Job.objects.filter(pk=job.pk).update(run_at=Now())
    assert run(job).status == Status.SUCCEEDED


def test_a_group_that_gets_rates_has_them_with_the_next_look_at_the_controls(
    ada: User, opened: None
) -> None:
    first, second = (Group.objects.create(name=name) for name in ("pilot", "partners"))
    ada.groups.add(second)
    RateOverride.objects.create(group=first, in_flight=3, reason="r", created_by=ada)
    effective.cache.clear()
    feature = registry.get("summarize")
    assert rates.of(feature, ada.pk).in_flight == 1_000
    RateOverride.objects.create(group=second, in_flight=5, reason="r", created_by=ada)
    effective.cache._read_at = float("-inf")  # half a second later
    assert rates.of(feature, ada.pk).in_flight == 5


def verdict_of(job: Claimed, **how: Any) -> str:
    try:
        begin(job, **how)
    except AttemptRefusedError as refused:
        return refused.verdict
    return "ok"


SCOPES = ["user", "user_spend", "account", "feature", "everything", "month"]


@given(
    scope=st.sampled_from(SCOPES),
    spent=st.integers(0, 5_000),
    held=st.integers(0, 5_000),
    caps=st.lists(st.integers(0, 15_000), min_size=1, max_size=4),
)
@hypothesis(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_each_cap_holds_as_it_is_now_whatever_was_booked_before(
    make_job: MakeJob, scope: str, spent: int, held: int, caps: list[int]
) -> None:
    """The same windows, under one cap after the other, higher or lower."""
    job = claim(make_job())
    begin(job, bound=0)  # makes the windows
    for cap in caps:
        SpendWindow.objects.update(spent_micro=spent, own_spend_micro=spent, held_micro=held)
        verdict = "ok" if spent + held + 1_000 <= cap else "budget_held"
        if spent + 1_000 > cap:
            verdict = "budget_spent"
        assert verdict_of(job, bound=1_000, caps=Caps(**{scope: cap})) == verdict


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4))
@hypothesis(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_calls_at_once_are_counted_under_the_limit_as_it_is_now(
    make_job: MakeJob, limits: list[int]
) -> None:
    job = claim(make_job(user=User.objects.create_user(f"u{User.objects.count()}")))
    under_way = 0
    for limit in limits:
        busy = under_way >= limit
        verdict = verdict_of(job, caps=Caps(in_flight=limit))
        assert verdict == ("user_busy" if busy else "ok")
        under_way += not busy
