"""A changed limit holds for waiting and for new jobs, in both directions."""

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
from tests.integration.execution.test_job_run import again, run
from tests.integration.job_rows import MakeJob, begin, claim

pytestmark = pytest.mark.usefixtures("committed", "opened", "sandbox")

ON_THE_DATABASE = hypothesis(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FAR = timedelta(hours=10)


def waiting(make_job: MakeJob, code: str = "user_tokens", **values: Any) -> Job:
    return make_job(wait_reason=code, run_at=Now() + FAR, **values)


@pytest.mark.parametrize("slug", ["summarize", GLOBAL])
@pytest.mark.parametrize("value", [{"tokens_per_minute": 9_999}, {"user_in_flight": 9}])
def test_a_changed_rate_frees_jobs(make_job: MakeJob, slug: str, value: dict[str, int]) -> None:
    job, other = waiting(make_job), waiting(make_job, code="provider_paused")
    effective.change(slug, value, reason="test", check_name="test")
    assert waits(job) <= 1.0
    assert waits(other) > 3_600, "it waits for something else"
    Job.objects.update(run_at=Now() + FAR)
    effective.change(slug, value, reason="test", check_name="test")
    assert waits(job) > 3_600, "nothing changed"


def test_a_changed_exception_frees_jobs(make_job: MakeJob, ada: User, bob: User) -> None:
    mine, others = waiting(make_job), waiting(make_job, user=bob)
    override = RateOverride(user=ada, tokens_per_minute=5, reason="test")
    rate_overrides.save(override, user_id=ada.pk)
    assert waits(mine) <= 1.0
    assert waits(others) > 3_600
    Job.objects.update(run_at=Now() + FAR)
    rate_overrides.lift(override, reason="test", user_id=ada.pk)
    assert waits(mine) <= 1.0


def test_a_raised_rate_frees_an_overdrawn_job(make_job: MakeJob) -> None:
    set_control(tokens_per_minute=100)
    assert run(make_job(input={"document": "x " * 2_500})).status == Status.SUCCEEDED
    patient = Now() + timedelta(seconds=3_000)
    job = run(make_job(input={"document": "x " * 2_500}, deadline_at=patient))
    assert (job.wait_reason, waits(job) > 100) == ("user_tokens", True)
    set_control(tokens_per_minute=10_000_000)
    assert waits(job) <= 1.0
    assert again(job).status == Status.SUCCEEDED


def test_new_rates_of_a_group_are_read_with_the_controls(ada: User) -> None:
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
@hypothesis(ON_THE_DATABASE, max_examples=60)
def test_each_cap_holds_as_it_is_now(
    make_job: MakeJob, scope: str, spent: int, held: int, caps: list[int]
) -> None:
    job = claim(make_job())
    begin(job, bound=0)  # creates the windows
    for cap in caps:
        SpendWindow.objects.update(spent_micro=spent, own_spend_micro=spent, held_micro=held)
        verdict = "ok" if spent + held + 1_000 <= cap else "budget_held"
        if spent + 1_000 > cap:
            verdict = "budget_spent"
        assert verdict_of(job, bound=1_000, caps=Caps(**{scope: cap})) == verdict


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4))
@hypothesis(ON_THE_DATABASE, max_examples=15)
def test_the_concurrency_limit_holds_as_it_is_now(make_job: MakeJob, limits: list[int]) -> None:
    job = claim(make_job(user=User.objects.create_user(f"u{User.objects.count()}")))
    under_way = 0
    for limit in limits:
        busy = under_way >= limit
        verdict = verdict_of(job, caps=Caps(in_flight=limit))
        assert verdict == ("user_busy" if busy else "ok")
        under_way += not busy
