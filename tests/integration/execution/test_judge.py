"""The judge scores outputs of other features, and only evaluations call it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from aifeature import registry
from aifeature.features.judge.feature import Criterion, Exhibit, Judgement, Score, check
from aifeature.models import Job, Status
from aifeature.services import evaluations, jobs
from aifeature.services.controls import effective
from aifeature.services.execution import job_run
from aifeature.services.jobs.refusals import NotFound

CRITERIA = [
    {"name": "faithful", "rubric": "5: all is supported by the input; 1: an invented fact."},
    {"name": "complete", "rubric": "5: nothing of weight is missing; 1: the outcome is missing."},
]
DOCUMENT = "Anna paid 30 dollars on 3 March for the course. She asked for a refund. Tom agreed."


def exhibit(output: str) -> dict[str, Any]:
    return {
        "task": "A summary in two sentences.",
        "given": DOCUMENT,
        "reference": "",
        "output": output,
        "criteria": CRITERIA,
    }


def judged(output: str, nonce: str = "1") -> dict[str, int]:
    job = evaluations.submit(
        owner=evaluations.account(),
        slug="judge",
        data=exhibit(output),
        key=nonce,
        nonce=nonce,
        deadline_s=600,
    )
    job_run.run_feature(job, worker="test")
    found = Job.objects.get(pk=job)
    assert found.status == Status.SUCCEEDED, found.error_message
    assert found.result is not None
    return {each["criterion"]: each["score"] for each in found.result["scores"]}


@pytest.mark.usefixtures("committed", "sandbox")
def test_a_faithful_output_scores_higher_than_an_invented_one() -> None:
    """By the sandbox, whose judge errs at a known rate: the mean of ten."""
    good = "Anna paid 30 dollars on 3 March for the course. She asked for a refund, and Tom agreed."
    bad = "The company was sold to a bank for nine million euros. Its new name is not known."
    means = [
        sum(sum(judged(text, f"{text[:4]}{n}").values()) for n in range(10)) / 20
        for text in (good, bad)
    ]
    assert means[0] >= means[1] + 1


def test_each_criterion_needs_one_score() -> None:
    given = Exhibit(task="t", given="", output="o", criteria=[Criterion(**c) for c in CRITERIA])
    one = Score(criterion="faithful", reason="It is.", score=5)
    other = Score(criterion="complete", reason="It is.", score=5)
    assert list(check(given, Judgement(scores=[other, one]))) == []
    assert len(list(check(given, Judgement(scores=[one])))) == 1
    assert len(list(check(given, Judgement(scores=[one, one, other])))) == 1
    odd = Score(criterion="charm", reason="It is.", score=5)
    assert len(list(check(given, Judgement(scores=[one, other, odd])))) == 1


def test_no_user_can_submit_or_see_it(ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(is_staff=True, is_superuser=True)
    effective.change("judge", {"stage": "staff"}, reason="test", check_name="test")
    ada.refresh_from_db()
    assert "judge" not in {feature.slug for feature in jobs.visible_features(user=ada)}
    with pytest.raises(NotFound):
        jobs.submit(user=ada, slug="judge", data=exhibit("o"))
    assert "judge" in registry.all_features()
    assert "judge" not in registry.offered()
