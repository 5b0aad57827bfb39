"""The blast radius of a change: users exactly, jobs, and spend from the users' last days."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from aifeature import registry
from aifeature.models import BetaMember, ControlChange, FeatureControl, SpendHour, Stage
from aifeature.money import MICRO_PER_USD
from aifeature.services import access, controls
from aifeature.services.controls import GLOBAL
from aifeature.services.rollout import impact
from tests.integration.job_rows import MakeJob

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("live_prompt")]


@pytest.fixture
def people(ada: User) -> list[User]:
    """40 users. The feature has been at 50 percent since before the week."""
    others = User.objects.bulk_create(User(username=f"user{number}") for number in range(39))
    FeatureControl.objects.filter(feature="summarize").update(stage=Stage.PERCENT, percent=50)
    controls.clear_cache()
    return [ada, *others]


def spend(users: list[User], *, usd: Decimal = Decimal(1), days: int = 7) -> None:
    """Let each user spend this much on each of the last full days, and more today."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    for day in range(days + 1):
        for user in users:
            SpendHour.objects.create(
                scope="user",
                key=f"summarize:{user.pk}",
                hour=midnight - timedelta(days=day) + timedelta(hours=9),
                spend_micro=int((usd if day else 99) * MICRO_PER_USD) + 5,
                phantom_micro=5,
                calls=1,
            )


def test_the_sentence_names_users_jobs_and_spend(people: list[User], make_job: MakeJob) -> None:
    for origin in ("user", "user", "eval"):  # no stage concerns an evaluation
        make_job(origin=origin)
    present = access.audience("summarize")
    assert 5 < present < 35, "about half of them"
    admitted = [user for user in people if access.is_visible(registry.get("summarize"), user)]
    spend(admitted)
    found = impact.of("summarize", percent=100, limits={"daily_budget_usd": Decimal(30)})
    assert (found.users, found.users_now, found.total) == (40, present, 40)
    assert (found.queued, found.running) == (2, 0)
    projected = found.spend_per_day_micro
    assert projected is not None
    assert projected.mid == 40 * MICRO_PER_USD, "a dollar of each user"
    assert found.sentence == (
        f"40 of 40 users may use it after this (now {present}). 2 jobs wait, 0 run. Expected spend:"
        " $40 a day (40 to 40), with a daily budget of $30."
    )
    assert "may exceed the daily budget of $30" in found.warning
    capped = {"user_daily_spend_usd": Decimal("0.5"), "daily_budget_usd": Decimal(30)}
    assert "$20 a day" in impact.of("summarize", percent=100, limits=capped).sentence
    BetaMember.objects.create(user=people[0], feature="summarize")
    may_join = impact.of("summarize", limits={"beta_cap": 6}).sentence
    assert "Up to 5 more may join its beta by themselves." in may_join


def test_the_population_of_each_day_is_that_of_its_audit_rows(people: list[User]) -> None:
    """At 50 percent since yesterday, and at 10 percent before: few users made the spend."""
    spend(people[:6], days=6)
    now = impact.of("summarize").spend_per_day_micro
    ControlChange.objects.create(
        feature="summarize",
        field="percent",
        old="10",
        new="50",
        reason="r",
        at=Now() - timedelta(days=1),
    )
    then = impact.of("summarize").spend_per_day_micro
    assert now is not None
    assert then is not None
    assert then.mid > 1.5 * now.mid


def test_too_little_spend_is_unknown_and_no_users_cost_nothing(people: list[User]) -> None:
    spend(people[:4])
    assert "Expected spend: unknown, since there are too few" in impact.of("summarize").sentence
    spend(people[4:9], days=2)
    assert impact.of("summarize", stage=Stage.OFF).users == 0
    assert "Expected spend: none" in impact.of("summarize", released_percent=0).sentence


def test_invited_users_and_groups_are_counted_and_not_stored(people: list[User]) -> None:
    group = Group.objects.create(name="pilot")
    people[1].groups.add(group)
    invited = [people[0].pk]
    found = impact.of("summarize", stage=Stage.BETA, invited=invited, groups=[group.pk])
    assert found.users == 2
    assert impact.of("summarize", stage=Stage.BETA).users == 0
    control = FeatureControl.objects.get(feature="summarize")
    assert not control.beta_users.exists()
    assert not control.beta_groups.exists()


def test_a_pulled_switch_leaves_no_users(people: list[User]) -> None:
    FeatureControl.objects.filter(feature="summarize").update(killed=True)
    controls.clear_cache()
    present = access.audience("summarize")
    found = impact.of("summarize", released_percent=100)
    assert (found.users, found.users_now) == (present, 0)
    opened = impact.of("summarize", stage=Stage.EVERYONE)
    assert opened.sentence.startswith(f"40 of 40 users may use it after this (now {present}).")
    assert "Its kill switch is on: no user may use it until a release." in opened.sentence
    partial = impact.of("summarize", released_percent=50)
    assert partial.sentence.startswith(f"About {round(present / 2)} of 40 users")
    assert impact.of(GLOBAL, released_percent=0).users == 0
    arm = impact.of("summarize", released_percent=100, arm_percent=20)
    assert f"About {round(present / 5)} of them get the candidate (20 %)." in arm.sentence


def test_figures_that_cannot_be_read_leave_the_dialog_open(
    people: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(_slug: str, **_: Any) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(30)")
        return 0

    monkeypatch.setattr(impact, "LONGEST_MS", 20)
    monkeypatch.setattr(access, "audience", slow)
    found = impact.of("summarize")
    assert (found.users, found.sentence) == (None, impact.UNKNOWN)
    assert FeatureControl.objects.exists(), "the transaction is still usable"
