"""Admin's front page: the state of the system, readable for on-call within five seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from aifeature.admin.alerting import open_alerts
from aifeature.admin.audit_log import changes, guard_events
from aifeature.admin.common.names import title_of
from aifeature.admin.common.show import moment, span, utc
from aifeature.admin.controls import cards
from aifeature.admin.controls.switch_buttons import STOP, stop_url
from aifeature.models import Status
from aifeature.services.controls import GLOBAL
from aifeature.services.monitoring import overview, signs_of_life
from aifeature.services.monitoring.overview import Queue

JOBS: Final = "llm"
"""The queue of the workers that run jobs."""

admin.site.index_template = "aifeature/admin/overview.html"


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the figures that this visitor may see to the context of admin's front page."""
    now = datetime.now(UTC)
    context.update(
        {
            "title": "Overview",
            "as_of": f"{now:%H:%M:%S} UTC",
            "day": f"{now:%A, %d %B %Y}",
            "cards": cards.of_features(request, now),
        }
    )
    if cards.may_see(request, "alert"):
        context["alerts"] = open_alerts.rows()
    if cards.may_see(request, "featurecontrol"):
        context["everything"] = cards.switch_of(GLOBAL)
    if request.user.has_perm(STOP):
        context["stop_url"] = stop_url(GLOBAL)
    if cards.may_see(request, "job"):
        context["queue"] = _queue(overview.queue(now))
        context["workers"] = _workers(request)
        context["failures"] = _failures()
        context["failures_url"] = cards.jobs_url(status__exact=Status.FAILED)
    if cards.may_see(request, "attempt"):
        context["unknown"] = _unknown(overview.unknown_calls())
    if cards.may_see(request, "spendwindow"):
        context["spend"] = cards.spend_bar(overview.spend(now)[GLOBAL])
    if cards.may_see(request, "controlchange"):
        context["changes"] = changes.table(overview.latest_changes(), with_control=True)
        context["changes_url"] = reverse("admin:aifeature_controlchange_changelist")
    if cards.may_see(request, "guardevent"):
        context["flagged_url"] = guard_events.list_url()
    return context


def _queue(queue: Queue) -> dict[str, Any]:
    return {
        "due": cards.at_least(queue.due),
        "later": cards.at_least(queue.later),
        "waiting": span(queue.waiting.total_seconds()) if queue.waiting else None,
        "running": f"{queue.running:,}",
        "overdue": queue.overdue,
        "last_call": utc(queue.last_call) if queue.last_call else "",
        "stuck": queue.stuck,
        "queued_url": cards.jobs_url(status__exact=Status.QUEUED.value),
        "running_url": cards.jobs_url(status__exact=Status.RUNNING.value),
    }


def _unknown(calls: Mapping[str, int]) -> dict[str, str] | None:
    """Return the calls to settle, including those of features no longer in the code, or None."""
    total = sum(calls.values())
    return {"count": cards.at_least(total), "url": cards.to_settle_url()} if total else None


def _workers(request: HttpRequest) -> dict[str, Any]:
    """Return when workers of `JOBS` were last seen, and those of the other queues."""
    seen = dict(signs_of_life.last_seen())
    own = seen.pop(JOBS)
    counted = f"{own.live} live, {own.threads} threads" if own.live else "none live"
    return {
        "ago": _ago(own.ago),
        "gone": own.is_gone,
        "jobs": f"{JOBS}: {counted}",
        "others": [
            {"text": f"{queue}: {_ago(other.ago)}", "gone": other.is_gone}
            for queue, other in seen.items()
        ],
        "url": reverse("admin:aifeature_worker_changelist")
        if cards.may_see(request, "worker")
        else "",
    }


def _ago(ago: timedelta | None) -> str:
    return "never" if ago is None else f"{span(max(0, ago.total_seconds()))} ago"


def _failures() -> dict[str, Any]:
    return {
        "headers": ["when", "job", "feature", "code", "message to the user", "calls"],
        "rows": [list(row) for row in _failure_rows()],
    }


def _failure_rows() -> Iterable[tuple[Any, ...]]:
    for job in overview.latest_failures():
        url = reverse("admin:aifeature_job_change", args=(job.pk,))
        yield (
            moment(job.finished_at),
            format_html('<a class="aif-link aif-mono" href="{}">{}</a>', url, str(job.pk)[:8]),
            title_of(job.feature),
            format_html('<span class="aif-mono">{}</span>', job.error_code or "-"),
            job.error_message or "-",
            job.attempts,
        )
