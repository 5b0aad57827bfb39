"""A job whose answer waits for a person: from its submission to each of its ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import Client

from aifeature import registry
from aifeature.features.triage.high_stakes import Stake
from aifeature.models import (
    Attempt,
    AttemptState,
    CancelledBy,
    Job,
    KillMode,
    SpendWindow,
    Status,
    fair_queue,
    transitions,
)
from aifeature.models.transitions import Settlement
from aifeature.reasons import FailureCode
from aifeature.services.controls import switch
from aifeature.services.dispatch import recovery
from aifeature.services.execution import job_run, output
from aifeature.services.functions.errors import FunctionFailedError
from aifeature.services.jobs import lifecycle
from aifeature.services.privacy import export
from aifeature.services.texts import FAILED
from aifeature.spec import Feature
from tests import proof
from tests.functions_in_thread import FunctionsInThread
from tests.integration.api.api_jobs import bearer
from tests.integration.conftest import AMPLE_RATES
from tests.integration.job_rows import MakeJob, age, begin, claim
from tests.integration.streams import readers

pytestmark = pytest.mark.usefixtures("committed", "sandbox", "triage_opened")

HARMLESS = (
    "The certificate of my course shows the wrong date. I passed the last quiz on Monday, and the"
    " page of the certificate says Tuesday."
)
HIGH_STAKES = (
    "You took 2,400 dollars for another year of the School plan, although we cancelled in March."
    " Please refund the money."
)
ANSWER = {
    "category": "refund",
    "urgency": "high",
    "language": "en",
    "needs_human": False,
    "reason": "A renewal after a zebra cancellation.",
}


@pytest.fixture
def triage_opened(committed: None) -> None:
    proof.open_to_users("triage", **AMPLE_RATES)


def by_api(user: User, ticket: str) -> None:
    answer = bearer(user).post(
        "/api/v1/features/triage/jobs", {"input": {"ticket": ticket}}, "application/json"
    )
    assert answer.status_code == 202, answer.text


def by_page(user: User, ticket: str) -> None:
    client = Client()
    client.force_login(user)
    answer = client.post("/f/triage/", {"in-ticket": ticket, "key": "k1"})
    assert answer.status_code == 303, answer.text


def by_command(user: User, ticket: str) -> None:
    lifecycle.submit(user=user, slug="triage", data={"ticket": ticket})


def run() -> Job:
    job = Job.objects.get()
    job_run.run_feature(job.pk, worker="test")
    job.refresh_from_db()
    return job


@pytest.mark.parametrize("submit", [by_api, by_page, by_command])
def test_a_harmless_ticket_is_answered(ada: User, submit: Callable[[User, str], None]) -> None:
    submit(ada, HARMLESS)
    job = run()
    assert job.status == Status.SUCCEEDED, job.approval_reason
    assert job.result is not None
    assert job.result["category"] == "certificate"
    assert job.charge_micro == Attempt.objects.get().cost_micro > 0
    assert (job.approval_reason, job.approval_expires_at) == ("", None)


@pytest.mark.parametrize("submit", [by_api, by_page, by_command])
def test_a_high_stakes_ticket_waits_for_a_person(
    ada: User, submit: Callable[[User, str], None]
) -> None:
    submit(ada, HIGH_STAKES)
    job = run()
    assert job.status == Status.NEEDS_APPROVAL
    assert job.result is not None
    assert job.approval_reason.startswith(Stake.REFUND)
    assert job.approval_expires_at is not None
    assert job.finished_at is None
    waits = job.approval_expires_at - job.created_at
    assert timedelta(days=3) <= waits < timedelta(days=3, minutes=5)


@pytest.fixture
def waiting(make_job: MakeJob) -> Job:
    """A job in review. Its answer contains a word that stands nowhere else."""
    claimed = claim(make_job(feature="triage", input={"ticket": HIGH_STAKES}))
    call = Settlement(
        begin(claimed), AttemptState.SETTLED, cost_micro=700, output=json.dumps(ANSWER)
    )
    transitions.await_approval(
        claimed, ANSWER, reason="A rule about emus.", expires_s=600, settlement=call
    )
    return Job.objects.get()


def test_an_answer_that_waits_is_spend_and_no_charge(waiting: Job) -> None:
    assert waiting.charge_micro == 0
    assert waiting.model == Attempt.objects.get().model
    sums = SpendWindow.objects.values_list("scope", "spent_micro", "held_micro", "own_spend_micro")
    assert sorted(sums) == [
        *[("account", 0, 0, 700), ("feature", 700, 0, 0), ("global", 700, 0, 0)],
        *[("month", 700, 0, 0), ("user", 0, 0, 700)],
    ]


def expire(job: Job) -> Job:
    age(job, approval_expires_at=timedelta(seconds=1))
    recovery.sweep()
    job.refresh_from_db()
    return job


def test_it_fails_without_a_decision_in_time(waiting: Job) -> None:
    job = expire(waiting)
    assert (job.status, job.error_code) == (Status.FAILED, FailureCode.APPROVAL_EXPIRED)
    assert job.error_message == FAILED[FailureCode.APPROVAL_EXPIRED]
    assert (job.charge_micro, job.cancelled_by) == (0, "")


def test_only_its_own_time_ends_it(waiting: Job) -> None:
    age(waiting, deadline_at=timedelta(hours=1))
    recovery.sweep()
    waiting.refresh_from_db()
    assert waiting.status == Status.NEEDS_APPROVAL


def test_a_locked_job_expires_at_the_next_sweep(waiting: Job) -> None:
    age(waiting, approval_expires_at=timedelta(seconds=1))
    parameters = connection.get_connection_params()
    with psycopg.connect(**parameters) as other:
        other.execute("SELECT 1 FROM aifeature_job FOR UPDATE")
        assert fair_queue.end_unapproved(limit=5, code="c", message="m") == []
    assert fair_queue.end_unapproved(limit=5, code="c", message="m") == [waiting.pk]


def test_a_sweep_ends_a_limited_number_oldest_first(make_job: MakeJob) -> None:
    jobs = [
        make_job(
            status=Status.NEEDS_APPROVAL, approval_expires_at=Now() - timedelta(minutes=minutes)
        )
        for minutes in (1, 3, 2)
    ]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_indexscan = off")  # an index has an order by itself
        ended = fair_queue.end_unapproved(limit=2, code="c", message="m")
    assert set(ended) == {jobs[1].pk, jobs[2].pk}


def stop(mode: KillMode) -> Callable[[Job], None]:
    def pull(job: Job) -> None:
        switch.stop(job.feature, reason="r", mode=mode, user_id=job.user_id)
        switch.settle_stopped()

    return pull


def close_account(job: Job) -> None:
    User.objects.filter(pk=job.user_id).update(is_active=False)
    recovery.sweep()


def cancel_by_page(job: Job) -> None:
    client = Client()
    client.force_login(job.user)
    page = client.get(f"/jobs/{job.pk}/").text
    assert f"/jobs/{job.pk}/cancel/" in page
    assert client.post(f"/jobs/{job.pk}/cancel/").status_code == 303


def cancel_by_api(job: Job) -> None:
    links = bearer(job.user).get(f"/api/v1/jobs/{job.pk}").json()["links"]
    assert bearer(job.user).post(links["cancel"]).json()["status"] == "cancelled"


@pytest.mark.parametrize(
    ("end", "by"),
    [
        (cancel_by_page, CancelledBy.USER),
        (cancel_by_api, CancelledBy.USER),
        (close_account, CancelledBy.ACCOUNT),
        (stop(KillMode.CANCEL), CancelledBy.SWITCH),
    ],
    ids=["page", "api", "account", "switch"],
)
def test_it_is_cancelled_at_once_and_never_charged(
    waiting: Job, end: Callable[[Job], None], by: CancelledBy
) -> None:
    end(waiting)
    waiting.refresh_from_db()
    assert (waiting.status, waiting.cancelled_by) == (Status.CANCELLED, by)
    assert (waiting.charge_micro, waiting.partial_text) == (0, "")
    assert waiting.error_message


def test_a_switch_that_holds_leaves_it_to_the_person(waiting: Job) -> None:
    stop(KillMode.HOLD)(waiting)
    waiting.refresh_from_db()
    assert waiting.status == Status.NEEDS_APPROVAL


def everything_a_user_reads(job: Job) -> dict[str, str]:
    client = bearer(job.user)
    path = f"/api/v1/jobs/{job.pk}"
    pages = Client()
    pages.force_login(job.user)
    return {
        "job": client.get(path).text,
        "list": client.get("/api/v1/jobs").text,
        "events": events(job),
        "page": pages.get(f"/jobs/{job.pk}/").text,
        "history": pages.get("/jobs/").text,
        "search": pages.get("/jobs/?q=zebra").text.replace('value="zebra"', ""),
        "export": "".join(export.document(job.user)),
    }


def events(job: Job) -> str:
    token = readers.token_of(job.user)
    connection.close()

    async def read() -> str:
        async with readers.reader(token, job.pk) as stream:
            await stream.end()
        return json.dumps([event.data for event in stream.events]) + str(job.pk)

    return asyncio.run(read())


def approve(job: Job) -> Job:
    """End a job as an approval will."""
    Job.objects.filter(pk=job.pk).update(status=Status.SUCCEEDED, finished_at=Now())
    return Job.objects.get(pk=job.pk)


def cancelled(job: Job) -> Job:
    lifecycle.cancel(user=job.user, job_id=job.pk)
    return Job.objects.get(pk=job.pk)


def rejected(job: Job) -> Job:
    Job.objects.filter(pk=job.pk).update(status=Status.REJECTED, finished_at=Now())
    return Job.objects.get(pk=job.pk)


@pytest.mark.parametrize(
    "end",
    [lambda job: job, cancelled, expire, rejected],
    ids=["waits", "cancelled", "expired", "rejected"],
)
def test_its_user_never_reads_an_unapproved_answer(waiting: Job, end: Callable[[Job], Job]) -> None:
    for place, text in everything_a_user_reads(end(waiting)).items():
        assert (str(waiting.pk) in text) == (place != "search"), f"{place}: a match reveals words"
        assert "zebra" not in text, place
        assert "emus" not in text, f"{place}: the reason is for reviewers"


def test_an_approved_answer_is_read_everywhere(waiting: Job) -> None:
    """The places of the test above do show an answer."""
    for place, text in everything_a_user_reads(approve(waiting)).items():
        if place != "history":
            assert "zebra" in text or (place == "search" and str(waiting.pk) in text), place


def test_the_page_and_the_api_show_the_latest_time(waiting: Job) -> None:
    assert waiting.approval_expires_at is not None
    client = Client()
    client.force_login(waiting.user)
    page = client.get(f"/jobs/{waiting.pk}/").text
    assert "A person decides before you see the answer" in page
    assert waiting.approval_expires_at.strftime("%H:%M UTC") in page
    assert 'http-equiv="refresh" content="60"' in page
    body = bearer(waiting.user).get(f"/api/v1/jobs/{waiting.pk}").json()
    assert body["status"] == "needs_approval"
    stated = datetime.fromisoformat(body["approval_expires_at"])
    assert abs(stated - waiting.approval_expires_at) < timedelta(milliseconds=1)
    ended = bearer(waiting.user).post(f"/api/v1/jobs/{waiting.pk}/cancel").json()
    assert ended["approval_expires_at"] is None
    assert "UTC</time> at the latest" not in client.get(f"/jobs/{waiting.pk}/").text


def test_the_answer_of_a_run_that_is_being_cancelled_is_withheld_too(make_job: MakeJob) -> None:
    claimed = claim(make_job(feature="triage", input={"ticket": HIGH_STAKES}))
    call = Settlement(begin(claimed), AttemptState.SETTLED, output=json.dumps(ANSWER))
    transitions.cancel(claimed.job, user_id=claimed.user_id, message="You did.")
    transitions.await_approval(claimed, ANSWER, reason="r", expires_s=60, settlement=call)
    job = Job.objects.get()
    assert (job.status, job.result, job.approval_expires_at) == (Status.CANCELLED, None, None)
    assert "zebra" not in "".join(export.document(job.user))


def changed(**values: Any) -> Feature:
    return registry.get("triage").model_copy(update=values)


def hangs(*_: object) -> str:
    raise FunctionFailedError("takes longer than 5 s")


@pytest.mark.parametrize(
    "approval",
    [lambda *_: 1 / 0, lambda *_: None, hangs],
    ids=["raises", "none", "hangs"],
)
def test_a_broken_rule_releases_nothing(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, approval: Any
) -> None:
    broken = changed(approval=approval)
    monkeypatch.setattr(registry, "get", lambda _: broken)
    make_job(feature="triage", input={"ticket": HARMLESS})
    job = run()
    assert (job.status, job.error_code) == (Status.FAILED, FailureCode.FEATURE_BROKEN)
    assert (job.result, job.charge_micro) == (None, 0)


def test_a_long_reason_is_cut_to_its_column(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    wordy = changed(approval=lambda *_: "why\0 " * 99)
    monkeypatch.setattr(registry, "get", lambda _: wordy)
    make_job(feature="triage", input={"ticket": HARMLESS})
    assert len(run().approval_reason) == output.MAX_REASON


def test_an_outage_brings_no_plain_answer_past_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    feature = changed(offers_plain=True)
    for ticket, has_answer in ((HARMLESS, True), (HIGH_STAKES, False)):
        found = output.plain(FunctionsInThread(), feature, {"ticket": ticket})
        assert (found is not None) == has_answer


def test_a_feature_with_a_rule_streams_nothing() -> None:
    values = {name: getattr(changed(), name) for name in Feature.model_fields}
    with pytest.raises(ValueError, match="users would read the answer before a person has decided"):
        Feature(**{**values, "stream_field": "reason"})
