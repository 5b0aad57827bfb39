"""Controls are cached for half a second, and each change has a reason and a record."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from aifeature import money, registry
from aifeature.models import ControlChange, FeatureControl, Stage
from aifeature.models.transitions import Caps
from aifeature.policies import budget
from aifeature.services.controls import cache as control_cache
from aifeature.services.controls import effective

pytestmark = pytest.mark.django_db

SUMMARIZE = registry.get("summarize")
OTHERS = [feature.limits for slug, feature in registry.offered().items() if slug != "summarize"]
OF_OTHERS = sum(money.to_micro(limits.daily_budget_usd) or 0 for limits in OTHERS) + 7_000_000
"""Daily budgets of all other features for users and of evaluations, in micro-dollars."""


@pytest.fixture(autouse=True)
def _budget_of_evaluations(settings: Any) -> None:
    settings.AIFEATURE = {**settings.AIFEATURE, "EVALS_DAILY_BUDGET_USD": Decimal(7)}


def test_an_unopened_feature_is_off_with_the_limits_of_its_code() -> None:
    assert effective.cache.get("summarize") == effective.Control()
    assert effective.deadline_s(SUMMARIZE) == SUMMARIZE.limits.deadline_s
    assert effective.prompt_version(SUMMARIZE) == "v4"
    assert effective.caps(SUMMARIZE) == Caps(
        user=10_000_000,
        user_spend=20_000_000,
        account=20_000_000,
        feature=110_000_000,
        everything=110_000_000 + OF_OTHERS,
    )


def test_values_of_an_operator_override_the_code() -> None:
    effective.change(
        "summarize",
        {
            "daily_budget_usd": "0.01",
            "user_daily_budget_usd": "0",
            "deadline_s": 60,
            "prompt_version": "v1",
        },
        reason="test",
        check_name="test",
    )
    spends = [budget.user_spend_usd(each, budget_usd=None, spend_usd=None) for each in OTHERS]
    account = max((money.to_micro(usd) or 0 for usd in spends), default=0)
    assert effective.caps(SUMMARIZE) == Caps(
        user=0, user_spend=0, account=account, feature=10_000, everything=10_000 + OF_OTHERS
    )
    assert effective.deadline_s(SUMMARIZE) == 60
    assert effective.prompt_version(SUMMARIZE) == "v1"


def test_caps_of_everything_come_from_admin_else_from_the_environment(settings: Any) -> None:
    own = {"GLOBAL_DAILY_BUDGET_USD": Decimal(30), "GLOBAL_MONTHLY_BUDGET_USD": Decimal(900)}
    settings.AIFEATURE = {**settings.AIFEATURE, **own}
    caps = effective.caps(SUMMARIZE)
    assert (caps.everything, caps.month) == (30_000_000, 900_000_000)
    values = {"daily_budget_usd": "40", "monthly_budget_usd": "700"}
    effective.change(effective.GLOBAL, values, reason="test", check_name="test")
    caps = effective.caps(SUMMARIZE)
    assert (caps.everything, caps.month) == (40_000_000, 700_000_000)


@pytest.mark.parametrize(
    ("charge_usd", "account"), [(3, Decimal(20)), (15, Decimal(30)), (None, None)]
)
def test_an_account_has_the_highest_cap(
    charge_usd: int | None, account: Decimal | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user may cost $20 a day in one feature, and twice the charge in the other."""
    usd = None if charge_usd is None else Decimal(charge_usd)
    limits = SUMMARIZE.limits.model_copy(update={"user_daily_budget_usd": usd})
    other = SUMMARIZE.model_copy(update={"slug": "triage", "limits": limits})
    both = {"summarize": SUMMARIZE, "triage": other}
    monkeypatch.setattr(registry, "all_features", lambda: both)
    assert effective.account_spend_usd() == account


def test_each_changed_field_leaves_a_record(ada: User) -> None:
    effective.change("summarize", {"stage": Stage.STAFF}, reason="try it", user_id=ada.pk)
    effective.change(
        "summarize", {"stage": Stage.STAFF, "percent": 5}, reason="wider", check_name="c"
    )
    rows = ControlChange.objects.order_by("id").values_list(
        "field", "old", "new", "reason", "user", "check_name"
    )
    assert list(rows) == [
        ("stage", "off", "staff", "try it", ada.pk, ""),
        ("percent", "0", "5", "wider", None, "c"),
    ]


def test_a_change_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        effective.change("summarize", {"stage": Stage.STAFF}, reason="  ")
    assert not FeatureControl.objects.exists()


@pytest.mark.parametrize("values", [{"percent": 101}, {"prompt_version": "v99"}])
def test_a_wrong_value_changes_nothing(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        effective.change("summarize", values, reason="x", check_name="x")
    assert not ControlChange.objects.exists()
    assert not FeatureControl.objects.exists()


def test_the_cache_reads_again_after_half_a_second() -> None:
    now = 100.0
    cache = control_cache.ControlCache(clock=lambda: now)
    assert not cache.get("summarize").killed
    FeatureControl.objects.create(feature="summarize", killed=True)
    now += control_cache.POLL_S - 0.01
    assert not cache.get("summarize").killed
    now += 0.02
    assert cache.get("summarize").killed


def test_an_answer_that_arrives_late_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network of the database may be away between its reading and the answer."""
    now = 100.0
    cache = control_cache.ControlCache(clock=lambda: now)
    read = control_cache._read

    def read_slowly() -> control_cache.Controls:
        nonlocal now
        found = read()
        FeatureControl.objects.update_or_create(feature="summarize", defaults={"killed": True})
        now += 6
        return found

    monkeypatch.setattr(control_cache, "_read", read_slowly)
    assert not cache.get("summarize").killed
    assert cache.get("summarize").killed
