"""The command rehearses past days and changes nothing."""

from __future__ import annotations

import json
import re
import textwrap
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from aifeature.models import Alert, FeatureControl, RateOverride, SpendHour
from aifeature.services.controls import effective
from aifeature.services.monitoring.spikes import rehearsal
from aifeature.services.monitoring.spikes.attacks import ATTACKS
from aifeature.services.monitoring.spikes.baseline import midnight
from aifeature.services.monitoring.spikes.judge import Rules
from tests.integration.job_rows import make_launch
from tests.integration.monitoring.spikes.conftest import DOLLAR, NOON, Usual

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

HOUR = timedelta(hours=1)
YESTERDAY = midnight(NOON) - 24 * HOUR


@pytest.fixture(autouse=True)
def _usual(usual: Usual) -> None:
    usual("feature", "summarize", DOLLAR, days=14)
    usual("global", "", DOLLAR, days=14)
    effective.change(
        "summarize", {"daily_budget_usd": 1000}, reason="No cap to burn.", check_name="test"
    )


def spent(key: str, micro: int, hour: datetime, scope: str = "feature") -> None:
    SpendHour.objects.update_or_create(
        scope=scope, key=key, hour=hour, defaults={"spend_micro": micro, "calls": 1}
    )


def done(days: int = 7) -> list[tuple[str, str, str]]:
    found = rehearsal.rehearse(NOON, days=days, rules=Rules())
    return [(event.key, f"{event.at:%d %H}", event.verdict.kind.value) for event in found]


def test_usual_days_would_have_stopped_nothing() -> None:
    assert done() == []


def test_a_spike_of_yesterday_would_have_stopped_the_feature_alone() -> None:
    """First by its rate, and again when its spend of the day has doubled."""
    for scope, key in (("feature", "summarize"), ("global", "")):
        spent(key, 20 * DOLLAR, YESTERDAY + 9 * HOUR, scope)
    assert done() == [("summarize", "17 09", "surge"), ("summarize", "17 09", "spike")]
    assert not FeatureControl.objects.filter(killed=True).exists()
    assert not Alert.objects.exists()


def test_it_trips_again_only_when_spend_has_doubled_again() -> None:
    for scope, key in (("feature", "summarize"), ("global", "")):
        spent(key, 8 * DOLLAR, YESTERDAY + 9 * HOUR, scope)
    assert [key for key, _, _ in done()] == ["summarize"]
    spent("summarize", 15 * DOLLAR, YESTERDAY + 15 * HOUR)
    assert [key for key, _, _ in done()] == ["summarize", "summarize"]


def test_an_announced_launch_would_have_let_it_go_on() -> None:
    for scope, key in (("feature", "summarize"), ("global", "")):
        spent(key, 5 * DOLLAR, YESTERDAY + 9 * HOUR, scope)
        spent(key, 20 * DOLLAR, YESTERDAY + 10 * HOUR, scope)
    assert done() != []
    make_launch(starts_at=YESTERDAY + 9 * HOUR, ends_at=YESTERDAY + 12 * HOUR, factor=20)
    assert done() == []


def test_a_user_would_have_been_throttled_once_on_each_day(ada: User, usual: Usual) -> None:
    key = f"summarize:{ada.pk}"
    usual("user", key, DOLLAR // 20, days=14)
    for day in (YESTERDAY - 24 * HOUR, YESTERDAY):
        for hour in (9, 15):
            spent(key, 8 * DOLLAR, day + hour * HOUR, "user")
    assert done() == [(key, "16 09", "spike"), (key, "17 09", "spike")]
    assert not RateOverride.objects.exists()


def test_a_throttled_user_would_not_have_stopped_the_feature(ada: User, usual: Usual) -> None:
    key = f"summarize:{ada.pk}"
    usual("user", key, DOLLAR // 20, days=14)
    for scope, of in (("user", key), ("feature", "summarize"), ("global", "")):
        spent(of, 30 * DOLLAR, YESTERDAY + 9 * HOUR, scope)
    assert done() == [(key, "17 09", "spike")]


def test_only_the_given_days_are_rehearsed() -> None:
    spent("summarize", 40 * DOLLAR, YESTERDAY - 24 * HOUR)
    assert done(days=1) == []
    assert done(days=2) != []


def printed(*arguments: str, **options: Any) -> tuple[str, dict[str, Any]]:
    out = StringIO()
    call_command("cost_spike", *arguments, stdout=out, **options)
    *lines, figures = out.getvalue().splitlines()
    found: dict[str, Any] = json.loads(figures)
    return "\n".join(lines), found


def test_the_command_prints_a_sentence_for_each_and_figures_for_machines() -> None:
    today = midnight(datetime.now(UTC))
    hours = list(SpendHour.objects.all())
    SpendHour.objects.all().delete()  # moved one by one, an hour may collide with another
    for row in hours:
        row.pk, row.hour = None, row.hour + (today - midnight(NOON))
    SpendHour.objects.bulk_create(hours)
    spent("summarize", 20 * DOLLAR, today - 15 * HOUR)
    lines, figures = printed("--dry-run")
    assert "stop summarize: $" in lines
    assert "times the usual $" in lines
    assert figures == {"cost_spike": "dry_run", "days": 7, "throttles": 0, "trips": 2}


@pytest.mark.parametrize(
    "arguments",
    [["--dry-run", "--days", "51"], ["--simulate", "--days", "3"], ["--simulate", "--worlds", "0"]],
)
def test_senseless_numbers_are_refused(arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="--days takes"):
        printed(*arguments)


def test_the_simulation_prints_alarms_and_attacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aifeature.management.commands.cost_spike.EACH", 1)
    lines, figures = printed("--simulate", "--worlds", "1", "--days", "28")
    assert "world 1 of 1" in lines
    assert "Stopped wrongly" in lines
    assert set(figures["attacks"]) == set(ATTACKS)
    assert figures["attacks"]["stolen account"]["missed"] == 0
    assert figures["days"] == 28


def test_the_query_of_the_runbook_runs(ada: User, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("deploy/runbooks/cost-spike.md").read_text(encoding="utf-8")
    (query,) = re.findall(r"shell -v0 -c '\n(.+?)'", text, re.DOTALL)
    spent(f"summarize:{ada.pk}", DOLLAR, datetime.now(UTC) - HOUR, "user")
    exec(textwrap.dedent(query))  # noqa: S102 (of this repository)
    assert (
        f"'key': 'summarize:{ada.pk}', 'spend': {DOLLAR}, 'phantom': 0" in capsys.readouterr().out
    )
