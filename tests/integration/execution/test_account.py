"""The provider account cannot sign in or pay: jobs wait, one probe at a time, one alert."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from django.db.models.functions import Now

from aifeature import prompts, registry
from aifeature.models import Alert, Attempt, Job, ProviderAccount, Status
from aifeature.services.controls import effective
from aifeature.services.execution import calls
from aifeature.services.execution.job_run import LEAST_CALL_S
from aifeature.services.provider import account, factory
from aifeature.services.provider import watch as provider_watch
from aifeature.services.watch import watcher
from aifeature.spec import Purpose
from tests.integration.execution.test_gated import HAIKU, SONNET, waits
from tests.integration.execution.test_job_run import ARTICLE, run
from tests.integration.job_rows import MakeCall, MakeJob
from tests.sandbox_server import SandboxServer
from workers.inference import (
    Cancel,
    Deferred,
    InferenceError,
    InferenceRequest,
    Message,
    TextBlock,
)

pytestmark = [pytest.mark.usefixtures("committed")]

ACCOUNT_FAULTS = {
    "authentication": "access_denied",
    "permission": "access_denied",
    "on_hold": "access_denied",
    "billing": "billing_stopped",
    "credit_too_low": "billing_stopped",
    "usage_limit": "billing_stopped",
    "enforced_spend_limit": "billing_stopped",
    "contract_spend_limit": "billing_stopped",
}
"""Kinds of fault of the whole account, and the error code of their calls."""


def summarise(make_job: MakeJob, **values: Any) -> Job:
    return run(make_job(input={"document": ARTICLE}, **values))


def again(job: Job) -> Job:
    Job.objects.filter(pk=job.pk).update(run_at=Now())
    account.cache.clear()
    return run(job)


def probe_is_due() -> None:
    ProviderAccount.objects.update(next_probe_at=Now(), probe_until=None)
    account.cache.clear()


def sent_for(job: Job | None) -> int:
    return Attempt.objects.filter(job=job).count()


@pytest.mark.parametrize(("fault", "code"), ACCOUNT_FAULTS.items())
def test_an_account_that_fails_stops_every_model_and_tells_once(
    make_job: MakeJob, sandbox: SandboxServer, fault: str, code: str
) -> None:
    sandbox.set_faults({"kind": fault})
    jobs = [summarise(make_job) for _ in range(3)]
    assert {(job.status, job.error_code, job.tries) for job in jobs} == {
        (Status.QUEUED, "provider_account", 0)
    }
    assert sum(sent_for(job) for job in jobs) == 1, "the others were not sent"
    assert jobs[0].error_message.startswith(
        "The service is temporarily unavailable. We keep trying"
    )
    row = ProviderAccount.objects.get()
    assert (row.stopped_at is not None, row.code) == (True, code)
    watcher.look(after_s=0)
    alert = Alert.objects.get()
    assert (alert.kind, alert.subject) == ("provider_account", account.name())
    assert alert.notified_at is not None, "within one look of the watcher, five seconds"


def test_the_state_names_the_key_by_a_fingerprint_only(
    make_job: MakeJob, sandbox: SandboxServer, settings: Any
) -> None:
    settings.AIFEATURE = {**settings.AIFEATURE, "API_KEY": "sk-secret-value"}
    sandbox.set_faults({"kind": "authentication"})
    summarise(make_job)
    alert = Alert.objects.get()
    assert "sk-secret" not in f"{alert.subject} {alert.summary} {alert.figures}"


@pytest.mark.parametrize("fault", ["authentication", "credit_too_low", "permission"])
def test_an_error_of_one_request_stops_nothing(
    make_job: MakeJob, sandbox: SandboxServer, fault: str
) -> None:
    """The probe is answered, so the request was the cause, whatever its answer said."""
    sandbox.set_faults({"kind": fault, "times": 1})
    job = summarise(make_job)
    assert (job.status, job.error_code) == (Status.FAILED, "provider_refused")
    assert ProviderAccount.objects.get().stopped_at is None
    assert not Alert.objects.exists()
    assert summarise(make_job).status == Status.SUCCEEDED


def test_errors_of_requests_cause_one_probe_in_a_while(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account.cache, "_clock", lambda: 0.0)
    for _ in range(3):
        sandbox.set_faults({"kind": "credit_too_low", "times": 1})
        assert summarise(make_job).status == Status.FAILED
    assert sent_for(None) == 1


def test_a_403_of_one_model_is_not_the_accounts(make_job: MakeJob, sandbox: SandboxServer) -> None:
    sandbox.set_faults({"kind": "permission", "model": HAIKU})
    job = summarise(make_job)
    assert (job.status, job.error_code) == (Status.FAILED, "provider_refused")
    assert [call.model for call in Attempt.objects.filter(job=None).order_by("started_at")] == [
        HAIKU,
        SONNET,
    ]
    assert ProviderAccount.objects.get().stopped_at is None


@pytest.mark.parametrize("second", ["permission", "overloaded"])
def test_a_403_is_not_the_accounts_as_long_as_one_model_is_let_in(
    make_job: MakeJob, sandbox: SandboxServer, second: str
) -> None:
    sandbox.set_faults({"kind": "permission", "model": HAIKU}, {"kind": second, "model": SONNET})
    job = summarise(make_job)
    assert (job.status, job.error_code) == (Status.FAILED, "provider_refused")
    assert ProviderAccount.objects.get().stopped_at is None


def test_a_403_of_one_model_keeps_no_account_stopped(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    sandbox.set_faults({"kind": "permission"})
    job = summarise(make_job)
    assert job.wait_reason == "provider_account"
    sandbox.set_faults({"kind": "permission", "model": HAIKU})
    probe_is_due()
    job = again(job)
    assert (job.status, job.error_code) == (Status.FAILED, "provider_refused")
    assert ProviderAccount.objects.get().stopped_at is None


def test_a_probe_that_our_own_ledger_refuses_leaves_its_turn_to_another_feature(
    make_job: MakeJob, opened: None, sandbox: SandboxServer
) -> None:
    sandbox.set_faults({"kind": "authentication"})
    job = summarise(make_job)
    sandbox.set_faults()
    probe_is_due()
    before = ProviderAccount.objects.get()
    effective.change("summarize", {"daily_budget_usd": "0"}, reason="test", check_name="test")
    assert again(job).wait_reason == "provider_account"
    after = ProviderAccount.objects.get()
    assert (after.next_probe_at, after.probe_until) == (before.next_probe_at, None)
    assert after.stopped_at is not None


def test_a_turn_outlasts_a_probe_of_each_model() -> None:
    assert calls.PROBE_S * len(factory.gateway().known_models()) < account.LEASE_S


def test_jobs_go_on_after_a_probe_was_answered(make_job: MakeJob, sandbox: SandboxServer) -> None:
    sandbox.set_faults({"kind": "credit_too_low"})
    job = summarise(make_job)
    probe_is_due()
    job = again(job)
    assert (job.status, job.wait_reason) == (Status.QUEUED, "provider_account")
    assert ProviderAccount.objects.get().failed_probes == 2
    assert sent_for(job) == 1, "probes are calls of no job"
    sandbox.set_faults()
    probe_is_due()
    job = again(job)
    assert (job.status, job.tries) == (Status.SUCCEEDED, 0)
    assert ProviderAccount.objects.get().stopped_at is None
    assert Alert.objects.get().closed_at is not None


def test_one_probe_at_a_time_asks_for_all_jobs(make_job: MakeJob, sandbox: SandboxServer) -> None:
    sandbox.set_faults({"kind": "authentication"})
    summarise(make_job)
    before = sent_for(None)
    jobs = [make_job(input={"document": ARTICLE}) for _ in range(6)]
    probe_is_due()

    def work(job: Job) -> Job:
        try:
            return run(job)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(jobs)) as pool:
        ended = list(pool.map(work, jobs))
    assert {job.wait_reason for job in ended} == {"provider_account"}
    assert sent_for(None) - before == 1


def test_a_probe_whose_process_died_makes_room_for_another(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    sandbox.set_faults({"kind": "authentication"})
    job = summarise(make_job)
    sandbox.set_faults()
    probe_is_due()
    ProviderAccount.objects.update(probe_until=Now() + timedelta(seconds=20))
    assert again(job).wait_reason == "provider_account"
    ProviderAccount.objects.update(probe_until=Now())
    assert again(job).status == Status.SUCCEEDED


def test_a_process_that_has_not_read_the_last_probe_sends_no_other(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_faults({"kind": "authentication"})
    job = summarise(make_job)
    before = sent_for(None)
    monkeypatch.setattr(account.cache, "_clock", lambda: 0.0)  # what was read is not read again
    probe_is_due()
    assert account.cache.probe_in_s() == 0
    ProviderAccount.objects.update(next_probe_at=Now() + timedelta(seconds=60))
    Job.objects.filter(pk=job.pk).update(run_at=Now())
    assert run(job).wait_reason == "provider_account"
    assert sent_for(None) == before


@pytest.mark.parametrize("fault", ["overloaded", "rate_limited"])
def test_a_probe_that_shows_nothing_changes_nothing(
    make_job: MakeJob, sandbox: SandboxServer, fault: str
) -> None:
    sandbox.set_faults({"kind": "billing"})
    job = summarise(make_job)
    sandbox.set_faults({"kind": fault})
    probe_is_due()
    assert again(job).wait_reason == "provider_account"
    row = ProviderAccount.objects.get()
    assert (row.stopped_at is not None, row.probe_until) == (True, None)


def test_a_doubt_that_no_probe_can_settle_counts_as_a_try(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    sandbox.set_faults({"kind": "billing", "times": 1}, {"kind": "overloaded"})
    job = summarise(make_job)
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "provider_waiting", 1)
    assert ProviderAccount.objects.get().stopped_at is None


@pytest.mark.parametrize("probes", ["overloaded", "rate_limited"])
def test_a_job_that_no_probe_can_settle_fails_by_the_provider_at_its_last_try(
    make_job: MakeJob, sandbox: SandboxServer, probes: str
) -> None:
    job = make_job(input={"document": ARTICLE})
    for _ in range(registry.get("summarize").limits.max_tries):
        assert job.status == Status.QUEUED
        sandbox.set_faults({"kind": "authentication", "times": 1}, {"kind": probes})
        job = again(job)
    assert (job.status, job.error_code) == (Status.FAILED, "provider_unavailable")
    assert job.error_message.startswith("The service is temporarily unavailable.")


def test_a_job_whose_deadline_is_near_fails_with_a_sentence(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    sandbox.set_faults({"kind": "billing"})
    summarise(make_job)
    ProviderAccount.objects.update(next_probe_at=Now() + timedelta(seconds=60))
    account.cache.clear()
    soon = Now() + timedelta(seconds=LEAST_CALL_S + 1.5)
    job = summarise(make_job, deadline_at=soon, wait_reason="provider_account")
    assert (job.status, job.error_code) == (Status.FAILED, "provider_unavailable")
    assert job.error_message.startswith("The service is temporarily unavailable.")
    assert 50 <= waits(summarise(make_job)) <= 61


def test_calls_of_no_job_stop_with_the_account(sandbox: SandboxServer) -> None:
    sandbox.set_faults({"kind": "billing"})

    def judge() -> None:
        request = InferenceRequest(
            attempt_id=uuid4(),
            model=SONNET,
            system=(),
            messages=(Message("user", (TextBlock("Score the answer."),)),),
            max_tokens=200,
        )
        feature, prompt = registry.get("summarize"), prompts.get("summarize", "v3")
        calls.call(feature, request, purpose=Purpose.JUDGE, prompt=prompt)

    with pytest.raises(InferenceError):
        judge()
    with pytest.raises(Deferred, match="account"):
        judge()
    assert Alert.objects.get().kind == "provider_account"


def test_a_job_that_is_cancelled_while_the_account_is_doubted_leaves_room_for_a_probe(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    def stopped(_model: str) -> None:
        raise KeyboardInterrupt

    error = _refused(sandbox)
    with pytest.raises(KeyboardInterrupt):
        account.suspect(error, HAIKU, models=(HAIKU,), probe=stopped)
    assert ProviderAccount.objects.get().probe_until is None


def test_a_key_that_was_replaced_is_forgotten_and_one_that_is_used_is_not(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    sandbox.set_faults({"kind": "authentication"})
    summarise(make_job)
    ProviderAccount.objects.update(account="sandbox, key 0ld")
    Alert.objects.update(subject="sandbox, key 0ld")
    account.cache.clear()
    sandbox.set_faults()
    assert summarise(make_job).status == Status.SUCCEEDED
    assert not provider_watch.check().ok
    ProviderAccount.objects.update(tried_at=Now() - timedelta(seconds=account.UNUSED_S + 1))
    assert provider_watch.check().ok
    assert Alert.objects.get().closed_at is not None


def test_a_key_whose_probes_show_nothing_is_not_taken_for_one_that_was_replaced(
    make_job: MakeJob, make_call: MakeCall, sandbox: SandboxServer
) -> None:
    sandbox.set_faults({"kind": "authentication"})
    job = summarise(make_job)
    ProviderAccount.objects.update(tried_at=Now() - timedelta(seconds=account.UNUSED_S + 1))
    sandbox.set_faults({"kind": "overloaded"})
    probe_is_due()
    assert again(job).wait_reason == "provider_account"
    make_call()  # of another key
    assert account.end_unused() == 0
    assert ProviderAccount.objects.get().stopped_at is not None


def test_a_stopped_account_is_not_ended_while_nothing_is_answered(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    sandbox.set_faults({"kind": "authentication"})
    summarise(make_job)
    ProviderAccount.objects.update(tried_at=Now() - timedelta(days=1))
    found = provider_watch.check()
    assert not found.ok
    assert "cannot sign in" in found.result


def _refused(sandbox: SandboxServer) -> InferenceError:
    sandbox.set_faults({"kind": "billing"})
    request = InferenceRequest(
        attempt_id=uuid4(),
        model=HAIKU,
        system=(),
        messages=(Message("user", (TextBlock("Hi"),)),),
        max_tokens=5,
    )
    with pytest.raises(InferenceError) as caught:
        factory.gateway().infer(request, cancel=Cancel())
    return caught.value
