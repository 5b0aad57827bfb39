"""The rows that counted in an alert, from the window of its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import F, Sum

from aifeature.models import (
    Alert,
    Attempt,
    AuditedAnswer,
    Feedback,
    Job,
    Origin,
    SpendHour,
    SpendWindow,
    Status,
)
from aifeature.money import cents
from aifeature.policies.numbers import Six
from aifeature.reasons import FAULTS
from aifeature.services.alarms.rules import KINDS
from aifeature.services.feedback import reasons
from aifeature.services.monitoring import latency
from aifeature.services.texts import references

MOST: Final = 50

_SHOWN: Final = ("model", "prompt_version", "error_code", "finished_at")

ANSWERING: Final = ("generation", "repair", "escalation", "chunk")
"""Purposes of calls that answer a request, in contrast to those that check it."""

WEEKS: Final = timedelta(weeks=3)
"""Time before the newest week of labels that counts too."""


@dataclass(frozen=True, slots=True)
class Link:
    """An admin page about a row. Callers check the permission."""

    url_name: str
    pk: str
    permission: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of an alert. They hold no words of users and no names."""

    title: str
    headers: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    links: list[Link | None] = field(default_factory=list)
    """One for each row. It belongs to the row's last cell."""
    permission: str = ""
    """Permission without which the rows are not shown; empty: that for alerts is enough."""


def rows(alert: Alert) -> Table | None:
    """Return the rows that counted when the alert was opened, at most MOST, with few queries.

    None for kinds without rows, and if the figures name no window.
    """
    if alert.kind in _RUNS:
        return _runs(alert)
    find, window = _ROWS.get(alert.kind), _window(alert.figures)
    if not find or not window:
        return None
    if find is _thumbs_down:
        return _thumbs_down(alert.subject, *window, str(alert.figures.get("version", "")))
    return find(alert.subject, *window)


def _errors(slug: str, begin: datetime, end: datetime) -> Table:
    jobs = (
        Job.objects.of_users()
        .filter(feature=slug, status=Status.FAILED, error_code__in=FAULTS)
        .filter(finished_at__gte=begin, finished_at__lt=end)
        .only(*_SHOWN)
        .order_by("-finished_at")[:MOST]
    )
    return _of_jobs(
        "Requests that failed, the newest first",
        ("failed", "code"),
        [(job, (_at(job.finished_at), job.error_code)) for job in jobs],
    )


def _latency(slug: str, begin: datetime, end: datetime) -> Table:
    took = latency.slowest(slug, begin, end, most=MOST)
    jobs = Job.objects.of_users().only(*_SHOWN).in_bulk(list(took))
    return _of_jobs(
        "The slowest requests",
        ("took", "ended"),
        [(jobs[pk], (f"{took[pk]:.1f} s", _at(jobs[pk].finished_at))) for pk in took if pk in jobs],
    )


def _of_jobs(
    title: str, headers: tuple[str, ...], found: Iterable[tuple[Job, tuple[str, ...]]]
) -> Table:
    table = Table(title, (*headers, "model", "prompt", "request"), permission="aifeature.view_job")
    jobs = list(found)
    tried = _last_calls([job.pk for job, _ in jobs if not job.model])
    for job, cells in jobs:
        model, version = tried.get(job.pk, (job.model, job.prompt_version))
        shown = (model or "-", version or "-", references.of_job(job.pk))
        table.rows.append((*cells, *shown))
        table.links.append(Link("admin:aifeature_job_change", str(job.pk), "aifeature.view_job"))
    return table


def _last_calls(jobs: list[UUID]) -> dict[UUID, tuple[str, str]]:
    """Return model and version of the last answering call of each job, for jobs without one."""
    own = Attempt.objects.of_users().filter(job_id__in=jobs, purpose__in=ANSWERING)
    return {
        job: (model, version)
        for job, model, version in own.order_by("number").values_list(
            "job_id", "model", "prompt_version"
        )
    }


def _cost(slug: str, begin: datetime, end: datetime) -> Table:
    found = (
        SpendHour.objects.filter(
            hour__gte=begin, hour__lt=end, scope=SpendWindow.Scope.USER, key__startswith=f"{slug}:"
        )
        .values_list("key")
        .annotate(micro=Sum(F("spend_micro") - F("phantom_micro")), calls=Sum("calls"))
        .order_by("-micro", "key")[:MOST]
    )
    user = get_user_model()._meta  # noqa: SLF001 (public in Django)
    page = f"admin:{user.app_label}_{user.model_name}_change"
    table = Table(
        "The users whose requests cost most",
        ("cost", "calls", "user"),
        permission="aifeature.view_spendwindow",
    )
    for key, micro, calls in found:
        pk = key.rpartition(":")[2]
        table.rows.append((cents(micro), str(calls), f"#{pk}"))
        table.links.append(Link(page, pk, f"{user.app_label}.view_{user.model_name}"))
    return table


def _thumbs_down(slug: str, begin: datetime, end: datetime, version: str = "") -> Table:
    found = Feedback.objects.filter(
        feature=slug,
        created_at__gte=begin,
        created_at__lt=end,
        first_rating=reasons.DOWN,
        job__origin=Origin.USER,
        **({"prompt_version": version} if version else {}),
    )
    votes = found.order_by("-created_at")[:MOST]
    table = Table(
        "Answers with a thumbs down, the newest first",
        ("rated", "reasons", "model", "prompt", "rating"),
        permission="aifeature.view_feedback",
    )
    for vote in votes:
        why = ", ".join(reasons.ALL.get(each, each) for each in vote.reasons)
        shown = (
            vote.model or "-",
            vote.prompt_version or "-",
            f"of {references.of_job(vote.job_id)}",
        )
        table.rows.append((_at(vote.created_at), why or "-", *shown))
        page = "admin:aifeature_feedback_change"
        table.links.append(Link(page, str(vote.pk), "aifeature.view_feedback"))
    return table


def _hallucinations(slug: str, begin: datetime, end: datetime) -> Table:
    labelled = (
        AuditedAnswer.objects.filter(
            feature=slug,
            week__gte=(begin - WEEKS).date(),
            labelled_at__lt=end,
            label=AuditedAnswer.Label.HALLUCINATED,
        )
        .select_related("job")
        .only("week", "labelled_at", *(f"job__{name}" for name in _SHOWN))
        .order_by("-week", "-labelled_at")[:MOST]
    )
    return _of_jobs(
        "Answers that were labelled as hallucinated",
        ("week", "labelled"),
        [(each.job, (f"{each.week:%Y-%m-%d}", _at(each.labelled_at))) for each in labelled],
    )


_ROWS: Final[Mapping[str, Callable[[str, datetime, datetime], Table]]] = MappingProxyType(
    {
        KINDS[Six.ERRORS]: _errors,
        KINDS[Six.LATENCY]: _latency,
        KINDS[Six.COST]: _cost,
        KINDS[Six.THUMBS_DOWN]: _thumbs_down,
        KINDS[Six.HALLUCINATIONS]: _hallucinations,
    }
)

_RUNS: Final = frozenset({"eval_regression", "eval_incomplete", "model_changed"})
"""Kinds of alerts about weekly evaluations, which name their runs."""


def _runs(alert: Alert) -> Table | None:
    table = Table("Runs of the evaluation", ("run", "id"), permission="evals.view_run")
    for name in ("run", "confirmation"):
        pk = alert.figures.get(name)
        if pk and pk != "None":
            table.rows.append((name, str(pk)[:8]))
            table.links.append(Link("admin:evals_run_change", str(pk), "evals.view_run"))
    return table if table.rows else None


def _window(figures: Mapping[str, Any]) -> tuple[datetime, datetime] | None:
    try:
        begins, ends = (datetime.fromisoformat(figures[key]) for key in ("begins", "ends"))
    except (KeyError, TypeError, ValueError):
        return None
    return (begins, ends) if begins.tzinfo and ends.tzinfo else None


def _at(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if moment else "-"
