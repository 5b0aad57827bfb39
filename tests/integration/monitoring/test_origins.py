"""Jobs and calls of evaluations change no figure about users, and users' own change each."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from aifeature.models import Attempt, FeatureControl, Job, Origin, SpendHour, SpendWindow, Status
from aifeature.models.functions import database_now
from aifeature.models.load import load
from aifeature.services import evaluations
from aifeature.services.monitoring import latency, overview
from aifeature.services.monitoring.spikes import recent, rollup
from aifeature.services.spend import budgets
from project.panel import figures as panel
from tests.integration.job_rows import CALL
from tests.integration.monitoring.test_latency import MIDNIGHT

pytestmark = pytest.mark.django_db

SLUG = "summarize"
BOUND = 5_000
CAP = 1_000_000


def now() -> datetime:
    return datetime.now(UTC)


def budget_alert() -> str:
    """Return the result of the check while the cap has room for a call of less than BOUND."""
    FeatureControl.objects.get_or_create(feature=SLUG, defaults={"daily_budget_usd": 1})
    window = {"scope": "feature", "key": SLUG, "day": now().date()}
    SpendWindow.objects.get_or_create(**window, defaults={"spent_micro": CAP - BOUND + 1})
    return budgets.check().result


def rolled_up() -> list[Any]:
    rollup.roll_up(database_now())
    return list(SpendHour.objects.order_by("pk").values_list("scope", "key", "spend_micro"))


def of_panel(*names: str) -> Any:
    found = panel.figures()
    return [found[name] for name in names]


FIGURES: dict[str, Callable[[], Any]] = {
    "jobs of today": lambda: {s: t.by_status for s, t in overview.today(now()).items()},
    "error rate": lambda: {s: t.error_rate for s, t in overview.today(now()).items()},
    "latency": lambda: latency.percentiles(MIDNIGHT - timedelta(days=1), sample=100),
    "due jobs": lambda: overview.queue(now()).due,
    "later jobs": lambda: overview.queue(now()).later,
    "oldest due job": lambda: overview.queue(now()).waiting is None,
    "running jobs": lambda: overview.queue(now()).running,
    "overdue jobs": lambda: overview.queue(now()).overdue,
    "stuck queue": lambda: overview.queue(now()).stuck,
    "latest call": lambda: overview.queue(now()).last_call,
    "prompt cache": lambda: overview.prompt_cache(now()),
    "latest failures": lambda: [job.pk for job in overview.latest_failures()],
    "spend of the half hour": lambda: recent.of_features(database_now()),
    "baselines of spend": rolled_up,
    "usual cost of a call": budget_alert,
    "seconds of a call": lambda: load(SLUG).call_s,
    "panel's counts": lambda: of_panel("counts"),
    "panel's plain answers": lambda: of_panel("simple"),
    "panel's latest jobs": lambda: of_panel("latest"),
}


@pytest.fixture(autouse=True)
def _no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel, "_faults", lambda: "none")


def add(origin: Origin, ada: User, **call: Any) -> None:
    """Add a job in each state, and a call."""
    is_user = origin == Origin.USER
    owner = ada if is_user else evaluations.account()
    moment = now()

    def job(status: Status, **values: Any) -> Job:
        common = {"user": owner, "feature": SLUG, "origin": origin, "status": status}
        times = {"deadline_at": moment + timedelta(hours=1), "created_at": moment}
        return Job.objects.create(**{**common, **times, **values})

    job(Status.QUEUED, run_at=moment - timedelta(minutes=1))
    job(Status.QUEUED, run_at=moment + timedelta(minutes=5))
    job(Status.RUNNING, lease_until=moment - timedelta(seconds=5))
    job(Status.FAILED, finished_at=moment + timedelta(seconds=9))
    done = job(Status.SUCCEEDED, finished_at=moment + timedelta(seconds=2), degraded=True)
    values: dict[str, Any] = {
        **CALL,
        "job": done,
        "user": owner if is_user else None,
        "budget": "" if is_user else "_evals",
        "feature": SLUG,
        "bound_micro": BOUND,
        "cost_micro": BOUND,
        "cache_saved_micro": 8,
        "input_tokens": 10,
        "cache_read_tokens": 90,
        "latency_ms": 1500,
        "day": moment.date(),
        "ended_at": moment,
    }
    Attempt.objects.create(**{**values, **call})


@pytest.mark.parametrize("name", FIGURES)
def test_evaluations_are_in_no_figure_about_users(name: str, ada: User) -> None:
    before = FIGURES[name]()
    add(Origin.EVAL, ada)
    assert FIGURES[name]() == before
    add(Origin.USER, ada)
    assert FIGURES[name]() != before, "the figure would be the same for any rows"


def test_evaluations_are_in_the_calls_that_a_person_must_settle(ada: User) -> None:
    """They count at their bound in the global caps until then."""
    add(Origin.EVAL, ada, state="unknown")
    assert overview.unknown_calls() == {SLUG: 1}


def test_a_day_is_counted_from_the_index_alone() -> None:
    """Which index the planner takes depends on its statistics. Its columns do not."""
    with CaptureQueriesContext(connection) as queries:
        overview.today(MIDNIGHT)
    counted = next(query["sql"] for query in queries if "COUNT(*)" in query["sql"])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_indexdef('job_day_by_origin'::regclass)")
        index = cursor.fetchone()[0]
    assert set(re.findall(r'"aifeature_job"\."(\w+)"', counted)) <= set(re.findall(r"\w+", index))
