"""Each shipped feature runs through the whole path, with its checks and its plain answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now

from aifeature import registry
from aifeature.features.answer import handbook
from aifeature.models import Alert, Attempt, Job, Status, transitions
from aifeature.services.execution import job_run, worker_context
from aifeature.services.execution.worker_context import WorkerContext
from aifeature.services.functions.errors import FunctionsAwayError
from tests import proof
from tests.integration.execution.test_gated import HAIKU, SONNET, open_breaker
from tests.integration.job_rows import MakeJob, claim
from tests.sandbox_server import SandboxServer
from workers.retry_budget import RetryBudget

pytestmark = pytest.mark.usefixtures("committed", "opened", "sandbox")

QUESTION = {"question": "How long after the first payment can I ask for a refund?"}


@pytest.fixture(autouse=True)
def _opened_all(opened: None) -> None:
    for slug in registry.all_features():
        proof.open_to_users(slug)


def ran(make_job: MakeJob, feature: str, value: dict[str, Any], **fields: Any) -> Job:
    job = make_job(feature=feature, input=value, **fields)
    job_run.run_feature(job.id, worker="test")
    job.refresh_from_db()
    return job


def changed(monkeypatch: pytest.MonkeyPatch, slug: str, **values: Any) -> None:
    feature = registry.get(slug).model_copy(update=values)
    monkeypatch.setattr(registry, "get", lambda _slug: feature)


def test_a_question_is_answered_with_citations(make_job: MakeJob) -> None:
    job = ran(make_job, "answer", QUESTION)
    assert (job.status, job.degraded) == (Status.SUCCEEDED, False), job.error_message
    assert job.result is not None
    assert job.result["answer"]
    assert job.result["citations"][0]["section"] in handbook.sections()
    assert job.result["not_in_handbook"] is False
    call = Attempt.objects.filter(job=job).latest("number")
    assert call.reason.startswith("route default: the only one")


def test_the_second_call_reads_the_handbook_from_the_cache(make_job: MakeJob, bob: User) -> None:
    """Nothing before the breakpoint depends on the user, the input or the call."""
    ran(make_job, "answer", QUESTION)
    job = ran(make_job, "answer", {"question": "What does the School plan cost?"}, user=bob)
    call = Attempt.objects.filter(job=job).earliest("number")
    assert call.cache_read_tokens > 10_000
    assert call.cache_write_tokens == 0
    assert call.cache_saved_micro > call.cost_micro
    assert call.request is not None
    assert len(call.request["system"]) < 3_000, "the handbook is not stored with each call"


@pytest.mark.parametrize(
    ("feature", "value", "caches"),
    [
        ("triage", {"ticket": "The timer of my quiz does not show."}, True),
        ("summarize", {"document": "Anna paid 30 dollars. She left."}, False),
    ],
)
def test_instructions_are_cached_if_they_are_long_enough(
    make_job: MakeJob, feature: str, value: dict[str, Any], caches: bool
) -> None:
    for _ in range(2):
        job = ran(make_job, feature, value)
    assert (Attempt.objects.filter(job=job).earliest("number").cache_read_tokens > 0) is caches


def test_a_model_repairs_what_the_check_finds(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts: Iterator[list[str]] = iter([["summary: too dull"], []])
    changed(monkeypatch, "summarize", check=lambda value, output: next(verdicts))
    job = ran(make_job, "summarize", {"document": "Anna paid 30 dollars. She left."})
    assert job.status == Status.SUCCEEDED
    first, repair = Attempt.objects.filter(job=job).order_by("number")
    assert first.reason.startswith("route short: ")
    assert (repair.purpose, repair.reason) == ("repair", f"the answer of {HAIKU} was invalid")
    assert repair.request is not None
    assert "summary: too dull" in repair.request["messages"][-1]["content"]


def test_an_answer_that_cannot_be_checked_now_is_paid_and_tried_again(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, context: WorkerContext
) -> None:
    def away(*_: Any) -> None:
        raise FunctionsAwayError("their process could not be started")

    monkeypatch.setattr(context.functions, "call", away)
    job = ran(make_job, "answer", QUESTION)
    assert (job.status, job.tries, job.wait_reason) == (Status.QUEUED, 1, "internal_error")
    (call,) = Attempt.objects.filter(job=job)
    assert call.state == "settled"
    assert not Alert.objects.exists()


def test_a_check_that_raises_fails_the_job_and_alerts(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(monkeypatch, "summarize", check=lambda value, output: [1 / 0])
    job = ran(make_job, "summarize", {"document": "Anna paid 30 dollars. She left."})
    assert (job.status, job.error_code) == (Status.FAILED, "feature_broken")
    assert job.charge_micro == 0
    alert = Alert.objects.get(kind="feature_broken")
    assert alert.subject == "summarize"
    assert "check of the feature summarize raised ZeroDivisionError" in alert.summary


def test_an_outage_gives_the_plain_answer_free_of_charge(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    for model in (HAIKU, SONNET):
        open_breaker(model)
    job = ran(make_job, "answer", QUESTION)
    assert (job.status, job.degraded, job.charge_micro) == (Status.SUCCEEDED, True, 0)
    assert job.result is not None
    assert job.result["confidence"] == "low"
    assert sandbox.calls() == []


def test_a_failed_call_before_the_plain_answer_is_not_charged(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    sandbox.set_faults({"kind": "connection_cut", "after_events": 6})
    job = ran(make_job, "answer", QUESTION, tries=registry.get("answer").limits.max_tries - 1)
    assert (job.status, job.degraded, job.charge_micro) == (Status.SUCCEEDED, True, 0)
    call = Attempt.objects.get(job=job)
    assert call.state == "estimated"
    assert call.cost_micro > 0


def test_a_cancelled_job_gets_no_plain_answer(make_job: MakeJob) -> None:
    claimed = claim(make_job(feature="answer", input=QUESTION))
    Job.objects.update(cancel_requested_at=Now(), cancelled_by="user")
    transitions.finish_plain(claimed, {"answer": "a"}, settlement=None)
    job = Job.objects.get()
    assert (job.status, job.result, job.degraded) == (Status.CANCELLED, None, False)


def test_a_broken_plain_answer_leaves_the_job_waiting(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(monkeypatch, "answer", plain=lambda value: None)
    for model in (HAIKU, SONNET):
        open_breaker(model)
    job = ran(make_job, "answer", QUESTION)
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "provider_paused", 0)
    assert Alert.objects.get(kind="feature_broken").subject == "answer"


def test_a_plain_answer_does_not_refund_the_retry_budget(
    make_job: MakeJob, sandbox: SandboxServer, context: WorkerContext
) -> None:
    """Its call failed as in an outage."""
    sandbox.set_faults({"kind": "connection_cut", "after_events": 6})
    budget = RetryBudget(floor=1, ratio=0)
    tries = registry.get("answer").limits.max_tries - 1
    with worker_context.using(replace(context, retries=budget)):
        job = ran(make_job, "answer", QUESTION, tries=tries, wait_reason="provider_waiting")
    assert job.degraded
    assert budget.withdraw() is None


def test_a_feature_without_an_offer_waits_for_the_provider(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(monkeypatch, "answer", offers_plain=False)
    for model in (HAIKU, SONNET):
        open_breaker(model)
    job = ran(make_job, "answer", QUESTION)
    assert (job.status, job.wait_reason) == (Status.QUEUED, "provider_paused")


def test_a_route_depends_on_the_language_and_the_budget(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    (route,) = registry.get("answer").routes
    german = route.model_copy(
        update={"name": "german", "models": (SONNET,), "languages": frozenset({"de"})}
    )
    poor = route.model_copy(update={"name": "poor", "models": (HAIKU,), "below_budget_share": 0.5})
    changed(monkeypatch, "answer", routes=(poor, german, route))
    job = ran(make_job, "answer", {"question": "Wie lange kann ich mein Geld zurückbekommen?"})
    call = Attempt.objects.filter(job=job).earliest("number")
    assert (call.model, call.reason) == (
        SONNET,
        "route german: language de",
    )
