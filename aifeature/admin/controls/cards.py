"""Cards with today's figures of each feature, limited to what the visitor may see."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from aifeature import registry
from aifeature.admin.common.names import STAGE_COLOURS, STATUS_COLOURS, title_of
from aifeature.admin.common.show import money, span
from aifeature.admin.controls import prompt_notices
from aifeature.admin.controls.switch_forms import described
from aifeature.models import FeatureControl, Stage, Status
from aifeature.services.controls import switch_state
from aifeature.services.controls.switch_state import SwitchState
from aifeature.services.monitoring import overview
from aifeature.services.monitoring.overview import PromptCache, Spend, Today

ERRORS_ALARM = 0.02
"""Share of failed jobs above which the figure is red. On-call is paged at the same rate."""

NEARLY = 0.8
"""Share of a cap from which its bar is orange."""


def of_features(
    request: HttpRequest, now: datetime, only: str | None = None
) -> list[dict[str, Any]]:
    """Return a card for each feature of the code, or for `only`, with what the visitor may see.

    Runs ten queries for any number of features, and two more while an override is live.
    """
    slugs = [slug for slug in registry.all_features() if only in {None, slug}]
    see_jobs, see_calls = may_see(request, "job"), may_see(request, "attempt")
    see_spend, see_control = may_see(request, "spendwindow"), may_see(request, "featurecontrol")
    if not any((see_jobs, see_calls, see_spend, see_control)):
        return []
    jobs = overview.today(now) if see_jobs else {}
    windows = overview.spend(now) if see_spend else {}
    unknown = overview.unknown_calls() if see_calls else {}
    caches = overview.prompt_cache(now) if see_calls else {}
    controls = FeatureControl.objects.in_bulk(slugs) if see_control else {}
    states = switch_state.of_rows(controls.values())
    live = prompt_notices.live_rows(slugs) if see_control else {}
    return [
        {
            "title": title_of(slug),
            "control": _control(slug, controls.get(slug), states.get(slug, SwitchState(slug)))
            if see_control
            else None,
            "notices": prompt_notices.of_feature(controls.get(slug), live.get(slug)),
            "jobs": _jobs(slug, jobs.get(slug, Today()), now) if see_jobs else None,
            "spend": spend_bar(windows[slug]) if see_spend else None,
            "calls": _unknown(slug, unknown.get(slug, 0)) if see_calls else None,
            "cache": _cache(caches[slug]) if slug in caches else None,
        }
        for slug in slugs
    ]


def switch_of(slug: str) -> dict[str, Any] | None:
    """Return the state of a kill switch that is on for all or some users; None while it is off."""
    return _switch(switch_state.of(slug))


def jobs_url(**filters: Any) -> str:
    return f"{reverse('admin:aifeature_job_changelist')}?{urlencode(filters)}"


def may_see(request: HttpRequest, model: str) -> bool:
    """Return whether this visitor may view rows of this model."""
    names = (f"aifeature.view_{model}", f"aifeature.change_{model}")
    return any(request.user.has_perm(name) for name in names)


def _switch(state: SwitchState) -> dict[str, Any] | None:
    found = described(state)
    return found and {**found, "url": control_url(state.slug)}


def control_url(slug: str) -> str:
    return reverse("admin:aifeature_featurecontrol_change", args=(quote(slug),))


def _control(slug: str, row: FeatureControl | None, state: SwitchState) -> dict[str, Any]:
    row = row or FeatureControl(feature=slug)
    stage = row.known_stage
    percent = f" {row.percent}%" if stage is Stage.PERCENT else ""
    return {
        "url": control_url(slug),
        "stage": f"{stage.value}{percent}",
        "stage_long": stage.label,
        "colour": STAGE_COLOURS.get(stage, ""),
        "switch": _switch(state),
        "running": not row.killed and not state.partial and stage is not Stage.OFF,
    }


def _jobs(slug: str, jobs: Today, now: datetime) -> dict[str, Any]:
    where = {"feature": slug, "created_at__gte": overview.midnight(now).isoformat()}
    rate = jobs.error_rate
    return {
        "total": f"{jobs.total:,}",
        "url": jobs_url(**where),
        "states": [
            {
                "text": f"{jobs.by_status[status]:,} {status.label.lower()}",
                "colour": STATUS_COLOURS.get(status, ""),
                "url": jobs_url(**where, status__exact=status.value),
            }
            for status in Status
            if jobs.by_status.get(status)
        ],
        "error_rate": "-" if rate is None else f"{rate:.1%}",
        "error_alarm": rate is not None and rate > ERRORS_ALARM,
        "errors_url": jobs_url(**where, status__exact=Status.FAILED.value),
        "p50": "-" if jobs.p50_s is None else span(jobs.p50_s),
        "p95": "-" if jobs.p95_s is None else span(jobs.p95_s),
    }


def spend_bar(window: Spend) -> dict[str, Any]:
    """Return a window's spend against its cap, as text and as a bar."""
    used = window.spent + window.held
    share = used / window.cap if window.cap else (None if window.cap is None else 1.0)
    return {
        "spent": money(window.spent),
        "held": money(window.held),
        "cap": "no limit" if window.cap is None else f"of {money(window.cap)}",
        "percent": None if share is None else f"{share:.0%}",
        "colour": "" if share is None or share < NEARLY else "full" if share >= 1 else "nearly",
        "bar": None
        if share is None
        else [
            {"title": "spent", "value": _percent(window.spent, window.cap)},
            {
                "title": "held",
                "value": _percent(window.held, window.cap),
                "progress_class": "aif-held",
            },
        ],
        "url": reverse("admin:aifeature_spendwindow_changelist"),
    }


def _percent(part: int, cap: int | None) -> str:
    return f"{min(part / cap, 1) * 100:.2f}" if cap else "0"


def _unknown(slug: str, count: int) -> dict[str, Any]:
    url = to_settle_url(feature=slug)
    return {"unknown": at_least(count), "alarm": count > 0, "url": url}


def _cache(used: PromptCache) -> dict[str, Any]:
    title = "Saved by the cache" if used.saved_micro >= 0 else "Spent on filling the cache"
    return {"share": f"{used.share:.0%}", "title": title, "money": money(abs(used.saved_micro))}


def to_settle_url(**filters: str) -> str:
    """Return the address of the filtered list of calls that a person must settle."""
    query = urlencode({**filters, "bill": "person"})
    return f"{reverse('admin:aifeature_attempt_changelist')}?{query}"


def at_least(count: int) -> str:
    """Return a count as text, with `+` if counting stopped at its limit."""
    return f"{count:,}+" if count >= overview.COUNT_LIMIT else f"{count:,}"
