"""The SQL functions of a job's life, on PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from aifeature.models import (
    TERMINAL,
    Attempt,
    AttemptState,
    FeatureControl,
    Job,
    SpendWindow,
    Status,
    transitions,
)
from aifeature.models.transitions import (
    AttemptRefusedError,
    Caps,
    Claimed,
    FencedError,
    NewAttempt,
    Settlement,
)
from aifeature.reasons import FailureCode, WaitReason
from aifeature.spec import Purpose
from tests.integration.job_rows import MakeJob, age, begin, claim, database_time
from tests.integration.spend.windows import of_a_call, windows

pytestmark = pytest.mark.django_db


def settled(attempt: uuid.UUID, cost: int = 700, **more: Any) -> Settlement:
    return Settlement(attempt, AttemptState.SETTLED, output="{}", cost_micro=cost, **more)


def test_a_due_job_is_claimed_once(make_job: MakeJob) -> None:
    job = make_job()
    taken = claim(job)
    claimed_by = database_time()
    assert (taken.epoch, taken.tries, taken.input) == (1, 0, {"document": "Text."})
    left = (job.deadline_at - claimed_by).total_seconds()
    assert left <= taken.seconds_left <= 300
    assert transitions.claim(job.id, worker="w2", lease_s=15) is None
    job.refresh_from_db()
    assert (job.status, job.worker) == (Status.RUNNING, "w1")
    assert job.started_at is not None


@pytest.mark.parametrize(
    "values",
    [
        {"run_at": Now() + timedelta(seconds=60)},
        *({"status": end, "finished_at": Now()} for end in sorted(TERMINAL)),
    ],
)
def test_a_job_that_is_not_due_or_has_ended_is_not_claimed(
    make_job: MakeJob, values: dict[str, Any]
) -> None:
    assert transitions.claim(make_job(**values).id, worker="w", lease_s=15) is None


def test_a_take_over_closes_the_open_call_as_unknown(make_job: MakeJob) -> None:
    job = make_job()
    first = claim(job)
    attempt = begin(first, bound=1000)
    age(job, lease_until=timedelta(seconds=1))

    second = claim(job, worker="w2")

    assert (second.epoch, second.tries) == (2, 1)
    row = Attempt.objects.get(pk=attempt)
    assert (row.state, row.error_code, row.spend_micro) == ("unknown", "lease_lost", 1000)
    assert windows() == of_a_call(1000)
    with pytest.raises(FencedError):
        transitions.finish(first, Status.SUCCEEDED, result={}, settlement=settled(attempt))
    job.refresh_from_db()
    assert (job.status, job.charge_micro) == (Status.RUNNING, 0)


def test_finish_stores_result_charge_and_usage_in_one_go(claimed: Claimed) -> None:
    attempt = begin(claimed, bound=1000)
    assert windows() == of_a_call(0, 1000)
    transitions.finish(
        claimed,
        Status.SUCCEEDED,
        result={"summary": "S"},
        settlement=settled(attempt, 700, input_tokens=10, output_tokens=3, cache_read_tokens=2),
    )
    job = Job.objects.get(pk=claimed.job)
    assert (job.status, job.result, job.charge_micro) == ("succeeded", {"summary": "S"}, 700)
    assert (job.model, job.prompt_version) == ("claude-haiku-5-5", "v3")
    assert (job.input_tokens, job.output_tokens, job.cache_read_tokens) == (10, 3, 2)
    assert job.finished_at is not None
    assert windows() == of_a_call(700, charged=700)


def test_a_finished_job_is_not_finished_again(claimed: Claimed) -> None:
    attempt = begin(claimed)
    transitions.finish(claimed, Status.SUCCEEDED, result={}, settlement=settled(attempt))
    with pytest.raises(FencedError):
        transitions.finish(claimed, Status.FAILED, error_code="poison", error_message="x")
    assert windows()["user"] == (700, 0)


def test_a_failed_job_costs_spend_but_no_charge(claimed: Claimed) -> None:
    attempt = begin(claimed)
    transitions.finish(
        claimed,
        Status.FAILED,
        error_code="output_invalid",
        error_message="Sorry.",
        settlement=settled(attempt, 700),
    )
    assert windows() == of_a_call(700)
    assert Job.objects.get(pk=claimed.job).charge_micro == 0


def test_only_the_accepted_call_is_charged(claimed: Claimed) -> None:
    first = begin(claimed)
    transitions.settle(claimed, settled(first, 300))
    second = begin(claimed)
    transitions.finish(claimed, Status.SUCCEEDED, result={}, settlement=settled(second, 400))
    assert Job.objects.get(pk=claimed.job).charge_micro == 400
    assert windows() == of_a_call(700, charged=400)
    assert list(Attempt.objects.order_by("number").values_list("number", flat=True)) == [1, 2]


@pytest.mark.parametrize("whose", ["closed before", "another job's"])
def test_a_job_ends_with_its_own_call(claimed: Claimed, make_job: MakeJob, whose: str) -> None:
    if whose == "closed before":
        call = begin(claimed)
        transitions.settle(claimed, settled(call, cost=10))
    else:
        call = begin(claim(make_job()))
    with pytest.raises(IntegrityError, match="no open call of job"), transaction.atomic():
        transitions.finish(claimed, Status.SUCCEEDED, result={}, settlement=settled(call, cost=10))
    job = Job.objects.get(pk=claimed.job)
    assert (job.status, job.charge_micro) == ("running", 0)


def test_settling_moves_the_windows_of_the_day_that_reserved(claimed: Claimed) -> None:
    begin(claimed)
    call = Attempt.objects.get()
    call.id, call.number, call.day = uuid.uuid4(), 2, call.day - timedelta(days=1)
    call.save(force_insert=True)  # begun before midnight
    days = SpendWindow.objects.exclude(scope="month")
    for window in days.all():
        window.id, window.day = None, call.day
        window.save(force_insert=True)
    transitions.finish(claimed, Status.SUCCEEDED, result={}, settlement=settled(call.id))
    before_midnight = days.filter(day=call.day)
    spent = dict.fromkeys(("user", "account", "feature", "global"), 700)
    assert dict(before_midnight.values_list("scope", "spent_micro")) == spent
    assert set(before_midnight.values_list("held_micro", flat=True)) == {0}
    # The other call was closed unseen, in its own day.
    today = days.exclude(day=call.day)
    spent = {"user": 0, "account": 0, "feature": 1000, "global": 1000}
    assert dict(today.values_list("scope", "spent_micro")) == spent


def test_release_requeues_fences_and_counts_a_burnt_try(claimed: Claimed) -> None:
    attempt, before = begin(claimed), database_time()
    transitions.return_to_queue(
        claimed,
        delay_s=30,
        counts_as_try=True,
        reason="provider_waiting",
        message="We keep trying.",
        settlement=Settlement(attempt, AttemptState.FAILED, error_code="overloaded"),
    )
    after, job = database_time(), Job.objects.get(pk=claimed.job)
    assert (job.status, job.tries, job.epoch) == ("queued", 1, 2)
    assert before <= job.run_at - timedelta(seconds=30) <= after
    assert job.lease_until is None
    assert job.published_at is None
    assert windows() == of_a_call(0)
    with pytest.raises(FencedError):
        begin(claimed)


def test_nothing_is_sent_for_a_job_that_is_no_longer_ours(claimed: Claimed) -> None:
    age(Job.objects.get(pk=claimed.job), lease_until=timedelta(seconds=1))
    claim(Job.objects.get(pk=claimed.job), worker="w2")
    with pytest.raises(FencedError):
        begin(claimed)
    with pytest.raises(FencedError):
        transitions.settle(claimed, settled(uuid.uuid4()))
    with pytest.raises(FencedError):
        transitions.return_to_queue(claimed, delay_s=0, counts_as_try=False)


@pytest.mark.parametrize(
    ("spoil", "verdict"),
    [
        (lambda job: transitions.cancel(job.id, user_id=job.user_id, message="m"), "cancelled"),
        (lambda job: age(job, deadline_at=timedelta(seconds=1)), "deadline"),
        (lambda job: FeatureControl.objects.create(feature=job.feature, killed=True), "paused"),
        (lambda job: FeatureControl.objects.create(feature="_everything", killed=True), "paused"),
    ],
)
def test_a_call_is_refused(claimed: Claimed, spoil: Callable[[Job], object], verdict: str) -> None:
    spoil(Job.objects.get(pk=claimed.job))
    with pytest.raises(AttemptRefusedError) as refused:
        begin(claimed)
    assert refused.value.verdict == verdict
    assert not Attempt.objects.exists()
    assert windows() == {}


@pytest.mark.parametrize("scope", ["user", "feature", "global"])
def test_a_cap_is_kept_to_the_micro_dollar(claimed: Claimed, scope: str) -> None:
    caps = Caps(**{"everything" if scope == "global" else scope: 1000})
    begin(claimed, bound=600, caps=caps)
    begin(claimed, bound=400, caps=caps)
    with pytest.raises(AttemptRefusedError) as refused:
        begin(claimed, bound=1, caps=caps)
    assert (refused.value.verdict, refused.value.scope) == ("budget_held", scope)
    assert windows() == of_a_call(0, 1000)
    assert Job.objects.get(pk=claimed.job).attempts == 2


def test_a_spent_cap_differs_from_a_held_one(claimed: Claimed) -> None:
    caps = Caps(feature=1000)
    attempt = begin(claimed, bound=1000, caps=caps)
    transitions.settle(claimed, settled(attempt, 1000))
    with pytest.raises(AttemptRefusedError) as refused:
        begin(claimed, bound=1, caps=caps)
    assert (refused.value.verdict, refused.value.scope) == ("budget_spent", "feature")
    with pytest.raises(AttemptRefusedError, match="budget_spent user"):
        begin(claimed, bound=2000, caps=Caps(user=1999))


def test_a_cap_may_be_lowered_below_what_is_spent(claimed: Claimed) -> None:
    attempt = begin(claimed, bound=1000, caps=Caps(feature=1000))
    with pytest.raises(AttemptRefusedError):
        begin(claimed, bound=1, caps=Caps(feature=10))
    transitions.settle(claimed, settled(attempt, 900))
    assert windows()["feature"] == (900, 0)


def test_cancel_ends_a_waiting_job(make_job: MakeJob, ada: User) -> None:
    job = make_job()
    assert transitions.cancel(job.id, user_id=ada.pk, message="You did.") == Status.CANCELLED
    job.refresh_from_db()
    assert (job.status, job.error_code, job.error_message) == ("cancelled", "cancelled", "You did.")
    assert transitions.claim(job.id, worker="w", lease_s=15) is None


def test_cancel_marks_a_running_job(claimed: Claimed, ada: User) -> None:
    assert transitions.cancel(claimed.job, user_id=ada.pk, message="m") == Status.RUNNING
    assert Job.objects.get(pk=claimed.job).cancel_requested_at is not None


def test_cancel_leaves_an_ended_job_as_it_is(claimed: Claimed, ada: User) -> None:
    transitions.finish(claimed, Status.FAILED, error_code="poison", error_message="x")
    assert transitions.cancel(claimed.job, user_id=ada.pk, message="m") == Status.FAILED
    assert Job.objects.get(pk=claimed.job).error_code == "poison"


def test_a_stranger_cancels_nothing(claimed: Claimed, bob: User) -> None:
    assert transitions.cancel(claimed.job, user_id=bob.pk, message="m") is None
    assert Job.objects.get(pk=claimed.job).cancel_requested_at is None


# `error_code` is a word of ours, which is never cut.
COLUMNS = {field.name for field in Attempt._meta.fields} - {"error_code"}
TEXTS = [f.name for f in fields(Settlement) if f.type == "str" and f.name in COLUMNS]
COUNTS = [f.name for f in fields(Settlement) if "int" in str(f.type) and f.name in COLUMNS]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("text", ["a\x00b", "a\ud83db", "long" * 1000], ids=["nul", "half", "long"])
def test_no_text_of_the_provider_costs_us_the_row(claimed: Claimed, name: str, text: str) -> None:
    attempt = begin(claimed)
    changed: dict[str, Any] = {name: text}
    done = replace(settled(attempt), **changed)
    transitions.finish(claimed, Status.SUCCEEDED, result={"text": text}, settlement=done)
    assert Job.objects.get(pk=claimed.job).status == "succeeded"
    stored = getattr(Attempt.objects.get(pk=attempt), name)
    assert stored == text.replace("\x00", "\ufffd").replace("\ud83d", "\ufffd")[: len(stored)]
    assert stored


@pytest.mark.parametrize("name", COUNTS)
def test_no_count_of_the_provider_costs_us_the_row(claimed: Claimed, name: str) -> None:
    attempt = begin(claimed)
    changed: dict[str, Any] = {name: 2**62 if name == "cost_micro" else 2**40}
    done = replace(settled(attempt), **changed)
    transitions.finish(claimed, Status.FAILED, settlement=done)
    assert getattr(Attempt.objects.get(pk=attempt), name) >= 2**31 - 1


def test_a_request_is_stored_with_odd_characters(claimed: Claimed) -> None:
    attempt = NewAttempt(
        id=uuid.uuid4(),
        purpose=Purpose.REPAIR,
        provider="sandbox",
        model="m",
        prompt_version="v1",
        prompt_hash="0",
        request={"messages": [{"content": "half \ud83d and \x00"}]},
        bound_micro=1,
    )
    transitions.begin_attempt(claimed, attempt, Caps())
    stored = Attempt.objects.get(pk=attempt.id).request
    assert stored == {"messages": [{"content": "half \ufffd and \ufffd"}]}


def test_a_cancelled_run_is_not_returned(claimed: Claimed, ada: User) -> None:
    attempt = begin(claimed)
    transitions.cancel(claimed.job, user_id=ada.pk, message="You did.")
    transitions.return_to_queue(
        claimed,
        delay_s=60,
        counts_as_try=True,
        reason="provider_waiting",
        message="We keep trying.",
        settlement=Settlement(attempt, AttemptState.FAILED),
    )
    job = Job.objects.get(pk=claimed.job)
    assert (job.status, job.error_code, job.error_message) == ("cancelled", "cancelled", "You did.")
    assert windows()["global"] == (0, 0)


@pytest.mark.parametrize("end", ["release", "finish"])
def test_an_open_call_is_closed_with_its_run(claimed: Claimed, end: str) -> None:
    attempt = begin(claimed, bound=1000)
    if end == "release":
        transitions.return_to_queue(claimed, delay_s=0, counts_as_try=True)
    else:
        transitions.finish(claimed, Status.FAILED, error_code="poison")
    row = Attempt.objects.get(pk=attempt)
    assert (row.state, row.error_code) == ("unknown", "run_failed")
    assert windows()["global"] == (1000, 0)


def test_the_release_before_finds_the_wait_reason(make_job: MakeJob) -> None:
    """That release has only `error_code`, for waits and for failures."""
    job = make_job()

    def columns() -> tuple[str, str]:
        job.refresh_from_db()
        return job.wait_reason, job.error_code

    transitions.return_to_queue(
        claim(job),
        delay_s=0,
        counts_as_try=False,
        reason=WaitReason.PROVIDER_WAITING,
        message="We wait.",
    )
    assert columns() == ("provider_waiting", "provider_waiting")
    running = claim(job)
    assert columns() == ("provider_waiting", "provider_waiting"), "the last wait"
    for written in ("provider_paused", ""):
        Job.objects.filter(pk=job.pk).update(error_code=written)  # as that release writes it
        assert columns() == (written, written)
    transitions.finish(running, Status.FAILED, error_code=FailureCode.OUTPUT_INVALID)
    assert columns() == ("", "output_invalid")
