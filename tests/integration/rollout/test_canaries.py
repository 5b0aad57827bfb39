"""A canary starts with evidence, ends by its figures, and each decision has its numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from aifeature.models import (
    Activation,
    Alert,
    Attempt,
    Canary,
    CanaryStep,
    ControlChange,
    FeatureControl,
    Feedback,
    GuardEvent,
    Job,
    Stage,
    Status,
)
from aifeature.policies.canary import Metric
from aifeature.services import controls
from aifeature.services.privacy import erasure
from aifeature.services.promotion import activations
from aifeature.services.rollout import canaries, canary_rows
from aifeature.services.rollout.canaries import CanaryRefusedError
from tests import proof
from tests.canary_rows import CANDIDATE, SLUG, aged, begun, plant, proven, started
from tests.integration.job_rows import CALL

pytestmark = pytest.mark.django_db


def check(canary: Canary, now: datetime | None = None) -> str:
    """Run the check at a time, and return the canary's state."""
    canaries.check(now=lambda: now or timezone.now())
    canary.refresh_from_db()
    return canary.state


def last_change() -> ControlChange:
    return ControlChange.objects.filter(field="canary").latest("id")


def live() -> str | None:
    row = activations.live_row(SLUG)
    return row.version if row else None


def refusal(action: Callable[[], Any]) -> str:
    with pytest.raises(CanaryRefusedError) as refused, transaction.atomic():
        action()
    return str(refused.value)


def test_start_is_refused_without_fresh_passing_comparable_evidence(ada: User) -> None:
    def start(version: str = CANDIDATE, percent: int = 5, reason: str = "r") -> Canary:
        return canaries.start(SLUG, version, percent=percent, reason=reason, user_id=ada.pk)

    assert "is not open to users" in refusal(start)
    proof.open_to_users(SLUG)
    assert "no evidence" in refusal(start)
    today = proof.of_today(SLUG, CANDIDATE)
    proof.evidence(SLUG, CANDIDATE, **today, passed=False, verdict={"decision": "no verdict"})
    assert "did not pass" in refusal(start)
    proof.evidence(SLUG, CANDIDATE, **today, live_hash="0" * 64)
    assert "does not compare it with" in refusal(start)
    proof.evidence(SLUG, CANDIDATE, **today, fresh_until=timezone.now())
    assert "too old" in refusal(start)
    proof.evidence(SLUG, CANDIDATE, **today)
    assert "live already" in refusal(lambda: start("v4"))
    assert "does not exist" in refusal(lambda: start("v99"))
    assert "from 1 to 50" in refusal(lambda: start(percent=51))
    assert "needs a reason" in refusal(lambda: start(reason=" "))
    assert not Canary.objects.exists()
    start()
    assert "Stop it first" in refusal(start)
    change = last_change()
    assert (change.user, change.reason, change.new) == (ada, "r", "v3: running at 5 % against v4")


def test_database_refuses_a_canary_that_the_service_would_refuse(ada: User) -> None:
    canary = started(ada)
    canaries.stop(canary.pk, reason="r", user_id=ada.pk)
    values: dict[str, Any] = {
        field.attname: getattr(canary, field.attname)
        for field in Canary._meta.concrete_fields
        if field.attname not in {"id", "state", "ended_at"}
    }
    for wrong, sentence in (
        ({"prompt_hash": "0" * 64}, "The evidence is of"),
        ({"live_hash": "0" * 64}, "compared with a version that is live"),
    ):
        with pytest.raises(IntegrityError, match=sentence), transaction.atomic():
            Canary.objects.create(**{**values, **wrong})
    with pytest.raises(IntegrityError, match="is over"), transaction.atomic():
        Canary.objects.filter(pk=canary.pk).update(state="running")
    with pytest.raises(IntegrityError, match="is over"), transaction.atomic():
        CanaryStep.objects.create(canary=canary, percent=10)
    again = Canary.objects.create(**values)
    with pytest.raises(IntegrityError, match="keeps its candidate"), transaction.atomic():
        Canary.objects.filter(pk=again.pk).update(live_hash="0" * 64)


def test_bad_canary_rolls_itself_back_with_its_reason(ada: User) -> None:
    canary = started(ada, percent=10)
    plant(canary, "live", 540, harmed=5)
    plant(canary, "candidate", 30)
    assert check(canary) == "running"
    plant(canary, "candidate", 30, harmed=15)
    assert check(canary) == "rolled_back"
    assert "15 of 60 users of the candidate" in canary.end_reason
    assert live() == "v4"
    alert = Alert.objects.get(kind="canary_rolled_back", closed_at=None)
    assert "get v4 again" in alert.summary
    change = last_change()
    assert (change.check_name, change.old) == ("control.rollout", "running")
    assert change.figures is not None
    errors = change.figures["metrics"]["errors"]
    assert errors["candidate"] == [15, 60]
    assert errors["e"] >= errors["threshold"] == 50
    assert canaries.decisions(canary)[0] == change
    assert check(canary) == "rolled_back"
    assert canaries.open_of(SLUG) is None


def test_good_canary_is_promoted_at_200_users_after_a_watched_day(ada: User) -> None:
    canary = started(ada)
    plant(canary, "live", 200)
    plant(canary, "candidate", 199)
    day = aged(canary)
    assert check(canary, day) == "running"
    plant(canary, "candidate", 1)
    assert check(canary, day - timedelta(hours=1)) == "running"
    assert check(canary, day) == "promoted"
    assert live() == CANDIDATE
    row = Activation.objects.latest("id")
    assert (row.check_name, row.kind) == ("control.rollout", "activated")
    figures = last_change().figures
    assert figures is not None
    assert (figures["users"], figures["harm"][1] < 0.02) == (200, True)


def test_hour_without_checks_is_not_watched_time(ada: User) -> None:
    canary = started(ada)
    at = canary.created_at
    for minutes in (1, 2, 62, 63):
        check(canary, at + timedelta(minutes=minutes))
    assert canary.watched_s == 180


def test_refused_promotion_holds(ada: User) -> None:
    canary = started(ada)
    plant(canary, "live", 210)
    plant(canary, "candidate", 210)
    today = proof.of_today(SLUG, CANDIDATE)
    proof.evidence(SLUG, CANDIDATE, **today, live_hash="0" * 64)
    assert check(canary, aged(canary)) == "held"
    assert "does not compare it with" in canary.hold_reason
    assert live() == "v4"


def test_wrong_split_holds_and_cannot_be_continued(ada: User) -> None:
    canary = started(ada)
    plant(canary, "live", 100)
    plant(canary, "candidate", 20)
    assert check(canary) == "held"
    assert "do not fit the share" in canary.hold_reason
    alert = Alert.objects.get(kind="canary_held")
    assert "do not fit the share" in alert.summary
    assert "Find the cause" in refusal(
        lambda: canaries.go_on(canary.pk, reason="r", user_id=ada.pk)
    )
    canaries.stop(canary.pk, reason="r", user_id=ada.pk)
    alert.refresh_from_db()
    assert alert.closed_at is not None


def test_canary_is_stopped_after_a_month(ada: User) -> None:
    canary = started(ada)
    assert check(canary, canary.created_at + timedelta(days=29)) == "running"
    assert check(canary, canary.created_at + timedelta(days=30)) == "stopped"
    assert "30 days" in canary.end_reason


def test_held_canary_is_not_promoted_but_still_rolled_back(ada: User) -> None:
    canary = started(ada)
    canaries.hold(canary.pk, reason="Wait.", user_id=ada.pk)
    plant(canary, "live", 200)
    plant(canary, "candidate", 200)
    day = aged(canary)
    assert check(canary, day) == "held"
    canaries.go_on(canary.pk, reason="On.", user_id=ada.pk)
    canaries.hold(canary.pk, reason="Wait.", user_id=ada.pk)
    plant(canary, "live", 60)
    plant(canary, "candidate", 60, harmed=40)
    assert check(canary, day) == "rolled_back"


def test_pulled_switch_decides_nothing(ada: User) -> None:
    canary = started(ada)
    plant(canary, "live", 60)
    plant(canary, "candidate", 60, harmed=40)
    FeatureControl.objects.create(feature=controls.GLOBAL, killed=True)
    assert check(canary) == "running"
    assert "kill switch" in refusal(lambda: canaries.promote(canary.pk, reason="r", user_id=ada.pk))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda: FeatureControl.objects.filter(feature=SLUG).delete(), "settings of the feature"),
        (lambda: proof.activate(SLUG, "v2"), "v2 is live now"),
        (
            lambda: proven(passed=False, verdict={"decision": "regression"}),
            "later evaluation of the candidate",
        ),
    ],
)
def test_canary_that_compares_nothing_any_more_is_stopped(
    ada: User, change: Callable[[], Any], sentence: str
) -> None:
    canary = started(ada)
    change()
    assert check(canary) == "stopped"
    assert sentence in canary.end_reason


def test_candidate_that_the_code_lacks_is_stopped(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = started(ada)
    monkeypatch.setattr(controls.live, "has", lambda *_: False)
    assert check(canary) == "stopped"


def test_person_promotes_only_what_the_figures_permit(ada: User) -> None:
    canary = started(ada, promotes=False)
    plant(canary, "live", 200)
    plant(canary, "candidate", 200)

    def promote(now: datetime) -> None:
        canaries.promote(canary.pk, reason="Good.", user_id=ada.pk, now=lambda: now)

    assert "24 are needed" in refusal(lambda: promote(canary.created_at))
    day = aged(canary)
    assert check(canary, day) == "running"  # not by itself
    promote(day)
    assert live() == CANDIDATE
    assert last_change().user == ada
    assert "is over" in refusal(lambda: promote(day))


def test_new_share_is_a_new_step(ada: User) -> None:
    canary = started(ada, percent=5)
    assert "already" in refusal(lambda: canaries.share(canary.pk, 5, reason="r", user_id=ada.pk))
    for percent in (20, 10):
        canaries.share(canary.pk, percent, reason="r", user_id=ada.pk)
    assert list(canary.steps.values_list("percent", flat=True)) == [5, 20, 10]
    assert (last_change().old, last_change().new) == ("20 %", "v3: 10 %")
    assert canaries.share_of(canary) == 10


def observed(canary: Canary) -> dict[str, tuple[int, int, int, int]]:
    """Return by metric the harmed and all users of the candidate, and of the live version."""
    found = canary_rows.read(canary).readings
    return {
        str(metric): (
            *(each.candidate.harmed, each.candidate.users),
            *(each.live.harmed, each.live.users),
        )
        for metric, each in found.items()
    }


def test_each_metric_counts_its_own_harm_once_per_user(ada: User) -> None:
    canary = started(ada)
    assert canary.cost_limit_micro is None
    assert str(Metric.DEAR) not in observed(canary)
    Canary.objects.filter(pk=canary.pk).update(cost_limit_micro=500)
    canary.refresh_from_db()
    plant(canary, "candidate", 1, harmed=1, error_code="answer_refused")
    plant(canary, "candidate", 1, harmed=1, error_code="answer_unsafe")
    now = timezone.now()
    (slow,) = plant(canary, "candidate", 1, finished_at=now + timedelta(seconds=60))
    (dear, flagged, other) = plant(canary, "candidate", 3)
    (live_one,) = plant(canary, "live", 1)
    plant(canary, "live", 1, harmed=1, error_code="budget_spent")  # our limits: no observation
    plant(canary, "live", 1, status=Status.CANCELLED, error_code="cancelled")
    plant(canary, "live", 1, degraded=True)  # the plain answer replaced an error of the provider
    for job, cost, hash_ in (
        (dear, 501, canary.prompt_hash),
        (live_one, 500, canary.live_hash),
        (other, 501, canary.live_hash),  # served by a worker that lacked the candidate
    ):
        values = {**CALL, "prompt_hash": hash_, "cost_micro": cost, "bound_micro": 9999}
        moment = {"day": now.date(), "ended_at": now}
        Attempt.objects.create(job=job, user=job.user, feature=SLUG, **values, **moment)
    GuardEvent.objects.create(
        feature=SLUG, job=flagged, stage="answer", guard="g", category="c", action="flagged"
    )
    again = {"created_at": now + timedelta(seconds=9), "finished_at": now + timedelta(seconds=10)}
    Job.objects.create(
        user=slow.user,
        feature=SLUG,
        options=slow.options,
        status=Status.FAILED,
        error_code="output_invalid",
        started_at=now,
        deadline_at=now,
        **{**again, "finished_at": now + timedelta(seconds=90)},
    )
    for job, vote in ((slow, -1), (live_one, 1)):
        Feedback.objects.create(
            job=job, user=job.user, feature=SLUG, rating=1, first_rating=vote, reasons=[]
        )
    assert observed(canary) == {
        "errors": (0, 5, 1, 2),
        "refusals": (1, 5, 0, 2),
        "thumbs_down": (0, 0, 0, 0),
        "slow": (1, 5, 0, 2),
        "dear": (1, 5, 0, 2),
        "guard_hits": (2, 5, 0, 2),
    }
    User.objects.filter(pk=dear.user_id).update(is_staff=True)
    assert observed(canary)["dear"] == (0, 4, 0, 2)


def test_first_vote_on_an_answer_of_the_arm_counts(ada: User) -> None:
    canary = started(ada)
    jobs = plant(canary, "candidate", 2, prompt_version="v3")
    jobs += plant(canary, "candidate", 1, prompt_version="v4")  # it got the live version
    jobs += plant(canary, "live", 1, prompt_version="v4")
    for job in jobs:
        Feedback.objects.create(
            job=job, user=job.user, feature=SLUG, rating=1, first_rating=-1, reasons=[]
        )
    assert observed(canary)["thumbs_down"] == (2, 2, 1, 1)


def test_time_held_by_a_switch_is_not_latency(ada: User) -> None:
    canary = started(ada)
    now = timezone.now()
    plant(canary, "candidate", 1, started_at=now, finished_at=now + timedelta(seconds=60))
    assert observed(canary)["slow"] == (1, 1, 0, 0)
    for seconds, new in ((5, "True"), (55, "False")):
        ControlChange.objects.create(
            feature=SLUG,
            field="killed",
            old=str(new == "False"),
            new=new,
            reason="r",
            user=ada,
            at=now + timedelta(seconds=seconds),
        )
    assert observed(canary)["slow"] == (0, 1, 0, 0)


def test_time_until_an_approval_is_not_latency(ada: User) -> None:
    canary = started(ada)
    now = timezone.now()
    times: dict[str, Any] = {"started_at": now, "finished_at": now + timedelta(hours=1)}
    for seconds in (2, 60):
        (job,) = plant(canary, "candidate", 1, approval_expires_at=now, **times)
        values = {**CALL, "job": job, "user": job.user, "feature": SLUG, "bound_micro": 1}
        values |= {"prompt_hash": canary.prompt_hash, "day": now.date()}
        Attempt.objects.create(**values, ended_at=now + timedelta(seconds=seconds))
    assert observed(canary)["slow"] == (1, 2, 0, 0)


def test_dear_is_above_the_ninth_decile_of_the_live_version(ada: User) -> None:
    proof.open_to_users(SLUG)
    now = timezone.now()
    assert canary_rows.cost_limit_micro(SLUG, "v4") is None
    shape = {"user": ada, "feature": SLUG, "status": Status.SUCCEEDED, "prompt_version": "v4"}
    times = {"created_at": now, "finished_at": now, "deadline_at": now}
    jobs = Job.objects.bulk_create([Job(**shape, **times) for _ in range(50)])
    Attempt.objects.bulk_create(
        Attempt(
            **{**CALL, "job": job, "user": ada, "feature": SLUG, "cost_micro": 10 * (i + 1)},
            bound_micro=9999,
            day=now.date(),
            ended_at=now,
        )
        for i, job in enumerate(jobs)
    )
    assert canary_rows.cost_limit_micro(SLUG, "v4") == 450


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("committed")
def test_two_starts_at_once_make_one_canary(ada: User) -> None:
    proof.open_to_users(SLUG)
    proven()
    ends: list[str] = []
    ready = threading.Barrier(2)

    def start() -> None:
        ready.wait()
        try:
            canaries.start(SLUG, CANDIDATE, percent=5, reason="r", user_id=ada.pk)
            ends.append("started")
        except CanaryRefusedError as refused:
            ends.append(str(refused))
        finally:
            connection.close()

    threads = [threading.Thread(target=start) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert ends.count("started") == 1
    assert any("one at a time" in end for end in ends)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("committed")
def test_erased_user_keeps_the_figures(ada: User) -> None:
    canary = started(ada)
    (job,) = plant(canary, "candidate", 1)
    before = observed(canary)
    User.objects.filter(pk=job.user_id).update(is_active=False)
    erasure.erase(job.user, reason="They asked.", report=lambda _: None)
    assert observed(canary) == before
    assert check(canary) == "running"


def test_open_canary_of_another_provider_hinders_no_start(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages and check show only those of the provider in use, so no person could stop it."""
    first = started(ada)
    monkeypatch.setattr(controls.live, "provider", lambda: "another")
    later = timezone.now() + timedelta(days=1)
    proof.activate(SLUG, fresh_until=later)
    proven(fresh_until=later)
    second = begun(ada)
    assert (first.provider, second.provider) == ("sandbox", "another")
    assert check(first) == "running"
    assert canaries.open_of(SLUG) == second


def test_stage_beyond_staff_is_needed(ada: User) -> None:
    proof.open_to_users(SLUG)
    proven()
    controls.change(SLUG, {"stage": Stage.STAFF}, reason="r", check_name="test")
    assert "is not open to users" in refusal(
        lambda: canaries.start(SLUG, CANDIDATE, percent=5, reason="r", user_id=ada.pk)
    )
