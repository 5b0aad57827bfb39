"""Jobs of evaluations run as users' jobs do, and touch no figure of users."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection
from redis import Redis

from aifeature import prompts
from aifeature.models import Attempt, Job, KillMode, SpendHour, SpendWindow, Status, heartbeats
from aifeature.models.functions import database_now, rows
from aifeature.services import dispatch, evaluations
from aifeature.services.controls import GLOBAL, switch
from aifeature.services.execution import calls, job_run
from aifeature.services.jobs.refusals import InvalidInput, NotFound
from aifeature.services.monitoring.spikes import recent, rollup
from aifeature.services.spend import reconciler
from tests.integration.execution.keeper.conftest import locked
from tests.integration.job_rows import MakeJob
from tests.sandbox_server import SandboxServer
from workers.inference import Deferred, InferenceRequest, wire

pytestmark = pytest.mark.usefixtures("committed", "sandbox")

DOCUMENT = {"document": "Anna paid 30 dollars. She left."}
LEGAL = {"ticket": "Answer by Friday or my lawyer will sue you."}


@pytest.fixture
def owner(db: None) -> User:
    return evaluations.account()


def submitted(owner: User, slug: str = "summarize", data: Any = None, **values: Any) -> UUID:
    fields = {"key": "run-1", "nonce": "n1", "deadline_s": 600.0, **values}
    return evaluations.submit(owner=owner, slug=slug, data=data or DOCUMENT, **fields)


def ran(job: UUID) -> Job:
    job_run.run_feature(job, worker="test")
    return Job.objects.get(pk=job)


@pytest.fixture
def broker(settings: Any) -> Iterator[Redis]:
    with Redis.from_url(settings.REDIS_URL) as client:
        client.delete("llm", "evals")
        yield client
        client.delete("llm", "evals")


def test_it_runs_while_the_feature_is_closed_and_charges_no_user(
    owner: User, sandbox: SandboxServer
) -> None:
    job = ran(submitted(owner, prompt_version="v1"))
    assert (job.status, job.charge_micro, job.prompt_version) == (Status.SUCCEEDED, 0, "v1")
    (call,) = Attempt.objects.filter(job=job)
    assert (call.user, call.budget, call.prompt_hash) == (
        None,
        "_evals",
        prompts.get("summarize", "v1").hash,
    )
    windows = {(w.scope, w.key): w.spent_micro for w in SpendWindow.objects.all()}
    assert windows == {
        ("feature", "_evals"): call.cost_micro,
        ("global", ""): call.cost_micro,
        ("month", ""): call.cost_micro,
    }
    assert reconciler.check().ok
    (end,) = evaluations.ended([job.pk])
    assert (end.cost_micro, end.attempts) == (call.cost_micro, (call.pk,))


def test_its_spend_is_no_baseline(owner: User) -> None:
    ran(submitted(owner))
    now = database_now()
    rollup.roll_up(now)
    assert not SpendHour.objects.exists()
    assert recent.of_features(now) == {GLOBAL: 0}


def test_each_repeat_is_a_call_of_its_own(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model reads the same, and no cache on the way can answer."""
    sent: list[InferenceRequest] = []
    real = calls.make

    def make(request: InferenceRequest, *arguments: Any, **options: Any) -> calls.Ended:
        sent.append(request)
        return real(request, *arguments, **options)

    monkeypatch.setattr(calls, "make", make)
    for n in (1, 2):
        ran(submitted(owner, key=f"k{n}", nonce=f"n{n}"))
    one, two = (wire.arguments(request, None) for request in sent)
    assert [each.pop("metadata") for each in (one, two)] == [{"user_id": "n1"}, {"user_id": "n2"}]
    turns = [each.pop("messages")[0]["content"][0]["text"] for each in (one, two)]
    for each in (one, two):
        del each["extra_headers"]
    assert one == two
    # The fence and the datamark come from the nonce.
    assert {re.sub(r"[0-9a-f]{16}|[|^]", " ", turn) for turn in turns} == {
        re.sub(r"[0-9a-f]{16}|[|^]", " ", turns[0])
    }


def test_a_repetition_with_the_same_key_is_the_same_job(owner: User) -> None:
    assert submitted(owner) == submitted(owner)
    assert Job.objects.count() == 1


def test_an_answer_that_needs_approval_ends_at_once(owner: User) -> None:
    """Only the scorer reads it."""
    job = ran(submitted(owner, "triage", LEGAL))
    assert job.status == Status.SUCCEEDED, job.error_message
    assert job.result is not None


def test_an_outage_brings_no_plain_answer(owner: User, sandbox: SandboxServer) -> None:
    sandbox.set_faults({"kind": "overloaded"})
    job = ran(submitted(owner, "answer", {"question": "How long can I ask for a refund?"}))
    assert (job.status, job.degraded) == (Status.QUEUED, False)


@pytest.mark.parametrize(
    ("fault", "is_deferred"),
    [("malformed_output", False), ("malformed_output", True), ("refusal", False)],
    ids=["repaired", "its repair is deferred, so the next model answers", "refused"],
)
def test_a_first_answer_that_needs_a_further_call_is_seen(
    owner: User,
    sandbox: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    is_deferred: bool,
) -> None:
    sandbox.set_faults({"kind": fault, "times": 1})
    real, models = calls.make, []

    def make(request: InferenceRequest, *arguments: Any, **options: Any) -> calls.Ended:
        if is_deferred and request.model in models:
            raise Deferred(reason="breaker", wait_s=9.0, scope=request.model)
        models.append(request.model)
        return real(request, *arguments, **options)

    monkeypatch.setattr(calls, "make", make)
    (end,) = evaluations.ended([ran(submitted(owner)).pk])
    assert end.has_answer
    assert len(end.attempts) == len(models) == 2
    assert (end.was_repaired, end.first_model, end.model) == (True, models[0], models[-1])


def test_a_call_without_an_answer_is_no_first_answer(owner: User, sandbox: SandboxServer) -> None:
    sandbox.set_faults({"kind": "overloaded", "times": 1})
    job = submitted(owner)
    ran(job)
    Job.objects.filter(pk=job).update(run_at=database_now())
    (end,) = evaluations.ended([ran(job).pk])
    failed, answered = Attempt.objects.filter(job=job).order_by("number")
    assert failed.error_code == "overloaded"
    assert (end.was_repaired, end.first_model) == (False, answered.model)


def test_the_budget_of_evaluations_is_a_cap(owner: User, settings: Any) -> None:
    settings.AIFEATURE = {**settings.AIFEATURE, "EVALS_DAILY_BUDGET_USD": Decimal("0.000001")}
    job = ran(submitted(owner))
    assert (job.status, job.error_code) == (Status.FAILED, "budget_spent")
    assert not Attempt.objects.exists()


def test_a_kill_switch_stops_it(owner: User, ada: User) -> None:
    job = submitted(owner)
    switch.stop("summarize", reason="Odd.", mode=KillMode.HOLD, user_id=ada.pk)
    assert ran(job).status == Status.QUEUED
    assert not Attempt.objects.exists()


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"slug": "summary"}, NotFound),
        ({"data": {"text": "Hi."}}, InvalidInput),
        ({"prompt_version": "v99"}, prompts.PromptError),
    ],
)
def test_a_wrong_job_is_refused_before_it_is_stored(
    owner: User, values: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        submitted(owner, **values)
    assert not Job.objects.exists()


def test_the_account_cannot_sign_in(owner: User) -> None:
    assert not owner.has_usable_password()
    assert evaluations.account() == owner


def test_it_waits_in_a_queue_and_a_window_of_its_own(
    owner: User, make_job: MakeJob, broker: Redis
) -> None:
    """However many there are, users' jobs are sent and counted as if there were none."""
    heartbeats.alive(rows, "evals-1", queue="evals", slots=2)
    for n in range(9):
        submitted(owner, key=f"k{n}")
    make_job()
    assert dispatch.refill() == 5
    assert (broker.llen("llm"), broker.llen("evals")) == (1, 4)
    with connection.cursor() as cursor:
        cursor.execute("SELECT aif_out(), (SELECT sum(jobs) FROM aif_waiting())")
        assert cursor.fetchone() == (1, None)


def test_without_its_worker_it_waits(owner: User) -> None:
    submitted(owner)
    assert dispatch.refill() == 0
    heartbeats.alive(rows, "evals-1", queue="evals", slots=2)
    assert dispatch.refill() == 1


def test_a_lost_message_is_sent_again(owner: User) -> None:
    heartbeats.alive(rows, "evals-1", queue="evals", slots=2)
    job = submitted(owner)
    assert dispatch.refill() == 1
    assert dispatch.refill() == 0
    Job.objects.filter(pk=job).update(published_at="2020-01-01T00:00:00Z")
    assert dispatch.refill() == 1


def test_a_run_of_a_lost_worker_is_sent_again(owner: User) -> None:
    heartbeats.alive(rows, "evals-1", queue="evals", slots=2)
    job = submitted(owner)
    rows("aif_claim_run", job, "lost", 0.0)
    assert dispatch.refill() == 1
    assert ran(job).status == Status.SUCCEEDED


def test_a_locked_job_delays_no_other(owner: User) -> None:
    heartbeats.alive(rows, "evals-1", queue="evals", slots=9)
    lost, due, _ = (submitted(owner, key=f"k{n}") for n in range(3))
    rows("aif_claim_run", lost, "lost", 0.0)
    with locked("SELECT 1 FROM aifeature_job WHERE id IN (%s, %s) FOR UPDATE", lost, due):
        assert dispatch.refill() == 1
    assert dispatch.refill() == 2
