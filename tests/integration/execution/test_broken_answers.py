"""Jobs whose provider, a bare socket, sends broken answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import Sum
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from aifeature.models import Alert, Attempt, Job, SpendWindow, Status
from aifeature.reasons import FailureCode, WaitReason
from aifeature.services.execution import calls
from aifeature.services.provider import factory, watch
from tests.broken_answers import ANSWERS, Broken, Then, good
from tests.contract.test_broken_answers import DOCUMENT
from tests.integration.conftest import empty_gates
from tests.integration.execution.test_gated import OPEN_S, open_breaker, set_probe_time
from tests.integration.execution.test_job_run import held, run
from tests.integration.fuzz.values import TIMES
from tests.integration.job_rows import MakeJob
from tests.mutated_answers import streams
from tests.wire import Exchange, WireServer, serving

INPUT = {"document": DOCUMENT}
KNOWN = {"", *WaitReason, *FailureCode}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "opened")]

HAIKU, SONNET = "claude-haiku-5-5", "claude-sonnet-5-5"

QUICK = [name for name in ANSWERS if not {"MB", "bomb", "403"} & set(name.split())]
"""Without the large answers, which differ only in the client, and without 403, which stops the
account: see test_account.py."""

CHOSEN = QUICK if TIMES > 1 else QUICK[::3]
"""The test of the client plays all of them."""

CALLS = {Then.UNUSABLE: {2}}
"""Numbers of provider calls, where it is not one."""


def code_of(name: str) -> str:
    """Return the failure of a job whose answers are all unusable in this way."""
    if "refusal" in name:
        return "answer_refused"
    return "answer_empty" if name.startswith(("text", "no content")) else "output_invalid"


@pytest.fixture
def provider(_fresh_gates: None, settings: Any) -> Iterator[WireServer]:
    """The process's gateway talks to a bare socket."""
    with serving(lambda exchange: exchange.stream(*good())) as server:
        settings.AIFEATURE = {**settings.AIFEATURE, "API_KEY": "k", "BASE_URL": server.url}
        factory.gateway.cache_clear()
        yield server
        factory.gateway().close()
        factory.gateway.cache_clear()


def check_books(job: Job) -> None:
    """No call counts more than its bound, nothing stays held, and the windows are the sum."""
    rows = list(Attempt.objects.filter(job=job))
    assert all(0 <= row.cost_micro <= row.bound_micro for row in rows)
    assert {row.state for row in rows} <= {"settled", "failed", "estimated", "unknown"}
    assert held() <= {0}
    everything = sum(row.spend_micro for row in Attempt.objects.all())
    assert (
        SpendWindow.objects.filter(scope="global").aggregate(sum=Sum("spent_micro"))["sum"] or 0
    ) == everything
    assert 0 <= job.charge_micro <= max((row.bound_micro for row in rows), default=0)


def check_others(make_job: MakeJob, provider: WireServer, other: User) -> None:
    """The next job is answered, at the latest after the 20 seconds that one answer may delay it."""
    provider.script = lambda exchange: exchange.stream(*good())
    for model in (HAIKU, SONNET):
        assert factory.gate().breaker(model).state == "closed"
        limits = factory.gate().limits(model)
        assert limits is not None
        assert limits.blocked_s <= 20
        if limits.blocked_s > 0:
            empty_gates()
    assert run(make_job(input=INPUT, user=other)).status == Status.SUCCEEDED


@pytest.mark.parametrize("name", CHOSEN)
def test_a_broken_answer_stops_no_other_job(
    make_job: MakeJob, provider: WireServer, bob: User, name: str
) -> None:
    broken: Broken = ANSWERS[name]
    provider.script = broken.script
    job = run(make_job(input=INPUT))
    calls = Attempt.objects.filter(job=job).count()
    assert {job.wait_reason, job.error_code} <= KNOWN
    match broken.then:
        case Then.ANSWERED:
            assert (job.status, job.charge_micro > 0) == (Status.SUCCEEDED, True)
        case Then.UNSEEN:
            row = Attempt.objects.get(job=job)
            assert (job.status, job.charge_micro) == (Status.SUCCEEDED, 0)
            assert (row.state, row.error_code) == ("unknown", "usage_unseen")
            assert Alert.objects.get(kind="usage_unseen").subject == HAIKU
        case Then.GARBLED:
            assert (job.status, job.error_code) == (Status.FAILED, "answer_garbled")
            assert Alert.objects.get(kind="answer_garbled").subject == HAIKU
        case Then.UNUSABLE:
            assert (job.status, job.error_code) == (Status.FAILED, code_of(name))
        case Then.CUT:
            assert (job.status, job.tries) == (Status.QUEUED, 1)
        case Then.TURNED_AWAY:
            late = job.status == Status.FAILED  # the wait is longer than the deadline
            assert (job.wait_reason or job.error_code) == (
                "provider_unavailable" if late else "provider_waiting"
            )
            assert job.tries == 0
            assert calls == 1 + late
        case Then.REFUSED:
            assert (job.status, job.error_code) == (Status.FAILED, "provider_refused")
    assert calls in CALLS.get(broken.then, {1, 2} if broken.then is Then.TURNED_AWAY else {1})
    check_books(job)
    check_others(make_job, provider, bob)


@pytest.mark.timeout(600)  # many examples
@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=streams())
def test_any_stream_ends_with_a_code(make_job: MakeJob, provider: WireServer, body: bytes) -> None:
    empty_gates()

    def script(exchange: Exchange) -> None:
        exchange.start_stream()
        exchange.chunk(body)
        exchange.chunk(b"")

    provider.script = script
    job = run(make_job(input=INPUT))
    assert job.status in {Status.SUCCEEDED, Status.FAILED, Status.QUEUED}
    assert {job.wait_reason, job.error_code} <= KNOWN
    assert (job.wait_reason or job.error_code) != "internal_error"
    assert Attempt.objects.filter(job=job).count() <= 4
    check_books(job)


@pytest.mark.parametrize("name", ["body: a page", "no usage", "framing: no HTTP"])
def test_unrelated_answers_open_no_breaker(
    make_job: MakeJob, provider: WireServer, bob: User, name: str
) -> None:
    provider.script = ANSWERS[name].script
    for _ in range(12):
        run(make_job(input=INPUT))
    check_others(make_job, provider, bob)


@pytest.mark.parametrize("name", ["body: a page", "framing: no HTTP"])
def test_unread_probes_are_not_repeated(make_job: MakeJob, provider: WireServer, name: str) -> None:
    open_breaker(HAIKU)
    set_probe_time(HAIKU, in_s=0)
    provider.script = ANSWERS[name].script
    for _ in range(10):
        job = run(make_job(input=INPUT))
        assert (job.status, job.wait_reason) == (Status.QUEUED, "provider_paused")
        for model in (HAIKU, SONNET):  # so that no probe becomes due
            set_probe_time(model, in_s=OPEN_S)
    asked = Attempt.objects.order_by("started_at").values_list("model", "purpose")
    assert list(asked) == [(HAIKU, "probe"), (SONNET, "probe")]


def test_too_long_a_wait_uses_the_next_model(make_job: MakeJob, provider: WireServer) -> None:
    def script(exchange: Exchange) -> None:
        if exchange.body["model"] == HAIKU:
            error = {"type": "error", "error": {"type": "rate_limit_error"}}
            exchange.reply(error, status=429, headers={"retry-after": "86400"})
        else:
            exchange.stream(*good())

    provider.script = script
    job = run(make_job(input=INPUT))
    assert (job.status, job.model) == (Status.SUCCEEDED, SONNET)
    first = Attempt.objects.get(job=job, number=1)
    assert (first.state, first.error_code) == ("failed", "rate_limited")


def test_a_rejected_request_has_few_tries(make_job: MakeJob, provider: WireServer) -> None:
    error = {"type": "error", "error": {"type": "conflict_error"}}
    provider.script = lambda exchange: exchange.reply(
        error, status=409, headers={"x-should-retry": "true"}
    )
    job = make_job(input=INPUT)
    for _ in range(9):
        Job.objects.filter(pk=job.pk, status=Status.QUEUED).update(run_at=job.created_at)
        run(job)
    assert job.status == Status.FAILED
    assert len(provider.requests) == 5


def test_the_alert_of_an_odd_answer_ends(make_job: MakeJob, provider: WireServer) -> None:
    provider.script = ANSWERS["no usage"].script
    run(make_job(input=INPUT))
    watch.check(probe=calls.probe)
    alert = Alert.objects.get(kind="usage_unseen")
    assert alert.closed_at is None
    alert.seen_at = alert.seen_at.replace(year=2020)
    alert.save()
    watch.check(probe=calls.probe)
    alert.refresh_from_db()
    assert alert.closed_at is not None
