"""Broken answers through the whole path of a job: real PostgreSQL, real Redis, a bare socket."""

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

KNOWN = {"", *WaitReason, *FailureCode}

pytestmark = [pytest.mark.usefixtures("committed", "opened")]

HAIKU, SONNET = "claude-haiku-5-5", "claude-sonnet-5-5"

QUICK = [name for name in ANSWERS if not {"MB", "bomb", "403"} & set(name.split())]
"""The large ones differ from the others only in what the client does. A 403 to the job and to the
probe after it stops the account, and with it others: see test_account.py."""

CHOSEN = QUICK if TIMES > 1 else QUICK[::3]
"""The client gets all of them in its own test; what a job does with it depends on the kind."""

CALLS = {Then.UNUSABLE: {2}}
"""How often the provider is called; else once. With a wait of a day the next model is asked."""


@pytest.fixture
def provider(_fresh_gates: None, settings: Any) -> Iterator[WireServer]:
    """The process's gateway talks to a bare socket."""
    with serving(lambda exchange: exchange.stream(*good())) as server:
        settings.AIFEATURE = {**settings.AIFEATURE, "API_KEY": "k", "BASE_URL": server.url}
        factory.gateway.cache_clear()
        yield server
        factory.gateway().close()
        factory.gateway.cache_clear()


def summarise(make_job: MakeJob, **values: Any) -> Job:
    return run(make_job(input={"document": DOCUMENT}, **values))


def check_books(job: Job) -> None:
    """No call counts for more than its bound, nothing stays held, and the windows are the sum."""
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
    """The next job is answered: at once, or after the twenty seconds that one answer may take."""
    provider.script = lambda exchange: exchange.stream(*good())
    for model in (HAIKU, SONNET):
        assert factory.gate().breaker(model).state == "closed"
        limits = factory.gate().limits(model)
        assert limits is not None
        assert limits.blocked_s <= 20
        if limits.blocked_s > 0:
            empty_gates()
    assert summarise(make_job, user=other).status == Status.SUCCEEDED


@pytest.mark.parametrize("name", CHOSEN)
def test_a_broken_answer_ends_its_job_or_lets_it_wait_and_stops_no_other(
    make_job: MakeJob, provider: WireServer, bob: User, name: str
) -> None:
    broken: Broken = ANSWERS[name]
    provider.script = broken.script
    job = summarise(make_job)
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
            assert (job.status, job.error_code) == (Status.FAILED, "output_invalid")
        case Then.CUT:
            assert (job.status, job.tries) == (Status.QUEUED, 1)
        case Then.TURNED_AWAY:
            late = job.status == Status.FAILED  # asked to wait for longer than its deadline
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


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=streams())
def test_whatever_a_stream_holds_its_job_ends_with_a_known_code(
    make_job: MakeJob, provider: WireServer, body: bytes
) -> None:
    empty_gates()

    def script(exchange: Exchange) -> None:
        exchange.start_stream()
        exchange.chunk(body)
        exchange.chunk(b"")

    provider.script = script
    job = summarise(make_job)
    assert job.status in {Status.SUCCEEDED, Status.FAILED, Status.QUEUED}
    assert {job.wait_reason, job.error_code} <= KNOWN
    assert (job.wait_reason or job.error_code) != "internal_error"
    assert Attempt.objects.filter(job=job).count() <= 4
    check_books(job)


@pytest.mark.parametrize("name", ["body: a page", "no usage", "framing: no HTTP"])
def test_answers_that_say_nothing_of_the_model_open_no_breaker(
    make_job: MakeJob, provider: WireServer, bob: User, name: str
) -> None:
    provider.script = ANSWERS[name].script
    for _ in range(12):
        summarise(make_job)
    check_others(make_job, provider, bob)


@pytest.mark.parametrize("name", ["body: a page", "framing: no HTTP"])
def test_jobs_in_a_row_whose_probes_cannot_be_read_send_one_to_each_model(
    make_job: MakeJob, provider: WireServer, name: str
) -> None:
    """Each of them is counted at its bound, so the next one waits like one after an outage."""
    open_breaker(HAIKU)
    set_probe_time(HAIKU, in_s=0)
    provider.script = ANSWERS[name].script
    for _ in range(10):
        job = summarise(make_job)
        assert (job.status, job.wait_reason) == (Status.QUEUED, "provider_paused")
        for model in (HAIKU, SONNET):  # however long ten jobs take here
            set_probe_time(model, in_s=OPEN_S)
    asked = Attempt.objects.order_by("started_at").values_list("model", "purpose")
    assert list(asked) == [(HAIKU, "probe"), (SONNET, "probe")]


def test_a_wait_longer_than_the_deadline_goes_to_the_next_model(
    make_job: MakeJob, provider: WireServer
) -> None:
    def script(exchange: Exchange) -> None:
        if exchange.body["model"] == HAIKU:
            error = {"type": "error", "error": {"type": "rate_limit_error"}}
            exchange.reply(error, status=429, headers={"retry-after": "86400"})
        else:
            exchange.stream(*good())

    provider.script = script
    job = summarise(make_job)
    assert (job.status, job.model) == (Status.SUCCEEDED, SONNET)
    first = Attempt.objects.get(job=job, number=1)
    assert (first.state, first.error_code) == ("failed", "rate_limited")


def test_a_rejected_request_is_tried_again_only_a_few_times(
    make_job: MakeJob, provider: WireServer
) -> None:
    """Also where the provider says that it may pass."""
    error = {"type": "error", "error": {"type": "conflict_error"}}
    provider.script = lambda exchange: exchange.reply(
        error, status=409, headers={"x-should-retry": "true"}
    )
    job = make_job(input={"document": DOCUMENT})
    for _ in range(9):
        Job.objects.filter(pk=job.pk, status=Status.QUEUED).update(run_at=job.created_at)
        run(job)
    assert job.status == Status.FAILED
    assert len(provider.requests) == 5


def test_the_alert_of_an_odd_answer_ends_by_itself(make_job: MakeJob, provider: WireServer) -> None:
    provider.script = ANSWERS["no usage"].script
    summarise(make_job)
    watch.check()
    alert = Alert.objects.get(kind="usage_unseen")
    assert alert.closed_at is None
    alert.seen_at = alert.seen_at.replace(year=2020)
    alert.save()
    watch.check()
    alert.refresh_from_db()
    assert alert.closed_at is not None
