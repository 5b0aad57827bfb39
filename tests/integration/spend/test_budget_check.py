"""On-call is notified of a cap when a usual call no longer fits, and not before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aifeature import registry
from aifeature.models import Alert, FeatureControl, SpendWindow
from aifeature.services import evaluations
from aifeature.services.controls import effective
from aifeature.services.controls.effective import GLOBAL
from aifeature.services.spend import budgets
from tests.integration.job_rows import MakeJob, begin, claim

pytestmark = pytest.mark.django_db

USD = 1_000_000


def spent(scope: str, micro: int, *, days_ago: int = 0) -> None:
    day = datetime.now(UTC).date() - timedelta(days=days_ago)
    SpendWindow.objects.create(
        scope=scope,
        key="summarize" if scope == "feature" else "",
        day=day.replace(day=1) if scope == "month" else day,
        spent_micro=micro,
    )


def reached() -> list[str]:
    """Return the subjects of the alerts after a check."""
    found = budgets.check()
    subjects = sorted(Alert.objects.filter(closed_at=None).values_list("subject", flat=True))
    assert found.ok == (not subjects)
    return subjects


CAPS: list[tuple[str, dict[str, Any], str]] = [
    ("feature", {"feature": "summarize", "daily_budget_usd": 1}, "summarize day"),
    ("global", {"feature": GLOBAL, "daily_budget_usd": 1}, f"{GLOBAL} day"),
    ("month", {"feature": GLOBAL, "monthly_budget_usd": 1}, f"{GLOBAL} month"),
]


@pytest.mark.parametrize(("scope", "cap", "subject"), CAPS)
def test_each_cap_is_reached_when_a_usual_call_no_longer_fits(
    make_job: MakeJob, scope: str, cap: dict[str, Any], subject: str
) -> None:
    begin(claim(make_job()), bound=1000)
    SpendWindow.objects.all().delete()
    FeatureControl.objects.create(**cap)
    spent(scope, USD - 1000)
    assert reached() == []
    SpendWindow.objects.filter(scope=scope).update(spent_micro=USD - 999)
    assert reached() == [subject]


@pytest.mark.parametrize(("scope", "cap", "subject"), CAPS)
def test_a_cap_below_the_spend_is_reached_without_earlier_calls(
    scope: str, cap: dict[str, Any], subject: str
) -> None:
    FeatureControl.objects.create(**cap)
    spent(scope, USD + 1)
    assert reached() == [subject]


def test_a_cap_of_nothing_is_reached_before_the_first_call() -> None:
    FeatureControl.objects.create(feature="summarize", daily_budget_usd=0)
    assert reached() == ["summarize day"]


@pytest.mark.parametrize(("scope", "cap", "subject"), CAPS)
def test_earlier_spend_does_not_count(scope: str, cap: dict[str, Any], subject: str) -> None:
    FeatureControl.objects.create(**cap)
    spent(scope, USD + 1, days_ago=31)
    assert reached() == []


@pytest.mark.parametrize(("scope", "cap", "subject"), CAPS[1:])
def test_a_site_without_features_has_global_caps(
    make_job: MakeJob,
    scope: str,
    cap: dict[str, Any],
    subject: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin(claim(make_job()))  # of a feature that is then removed
    SpendWindow.objects.all().delete()
    monkeypatch.setattr(registry, "all_features", dict)
    assert reached() == []
    FeatureControl.objects.create(**cap)
    effective.cache.clear()
    spent(scope, USD + 1)
    assert reached() == [subject]


def test_a_month_without_a_budget_is_alerted_before_the_first_call() -> None:
    FeatureControl.objects.create(feature=GLOBAL, monthly_budget_usd=0)
    assert reached() == [f"{GLOBAL} month"]


def test_a_used_up_budget_of_evaluations_is_alerted_and_ends_by_itself(
    make_job: MakeJob, settings: Any
) -> None:
    settings.AIFEATURE = {**settings.AIFEATURE, "EVALS_DAILY_BUDGET_USD": 1}
    evals = evaluations.account()
    begin(claim(make_job(user=evals, origin="eval")), bound=1000)
    begin(claim(make_job()), bound=7000)
    SpendWindow.objects.all().delete()
    evaluated = {"scope": "feature", "key": "_evals"}
    SpendWindow.objects.create(**evaluated, day=datetime.now(UTC).date(), spent_micro=USD - 1000)
    assert reached() == []
    SpendWindow.objects.filter(**evaluated).update(spent_micro=USD - 999)
    assert reached() == ["_evals day"]
    summary = Alert.objects.get(closed_at=None).summary
    for part in ("of evaluations, $1.00", "`feature _evals`", "next day in UTC", "EVALS_DAILY_BUD"):
        assert part in summary
    settings.AIFEATURE = {**settings.AIFEATURE, "EVALS_DAILY_BUDGET_USD": 2}
    assert reached() == []
    settings.AIFEATURE = {**settings.AIFEATURE, "EVALS_DAILY_BUDGET_USD": 0}
    assert reached() == ["_evals day"]
    SpendWindow.objects.all().delete()
    assert reached() == [], "the next day, or a system that evaluates nothing"
