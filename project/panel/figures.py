"""The effect of the panel's actions: figures of the last minutes, about users' jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.db.models import Count
from django.utils import timezone

from aifeature import money, registry
from aifeature.models import Job, Status
from aifeature.services import controls
from aifeature.services.alerting import alerts
from aifeature.services.monitoring import overview
from aifeature.services.provider import model_views
from aifeature.web import rows
from project.panel import provider

RECENT: Final = timedelta(minutes=5)
LATEST: Final = 8
"""Jobs in the list."""

TONES: Final = {"closed": "good", "half_open": "wait", "open": "bad"}
WORDS: Final = {"closed": "closed", "half_open": "trying", "open": "open"}


def figures() -> dict[str, Any]:
    """Return the context of the panel's live part."""
    now = timezone.now()
    recent = Job.objects.of_users().filter(created_at__gte=now - RECENT)
    counts = dict(recent.values_list("status").annotate(count=Count("*")).order_by())
    return {
        "faults": _faults(),
        "models": [
            {
                "name": view.model,
                "tone": TONES[view.live.state],
                "state": WORDS[view.live.state],
                "failures": _failures(view.live),
            }
            for view in model_views.views()
        ],
        "counts": [
            (Status(status).label.lower(), counts[status])
            for status in Status.values
            if status in counts
        ],
        "simple": recent.filter(degraded=True).count(),
        "queue": overview.queue(now),
        "features": [_feature(slug, window) for slug, window in _windows(now)],
        "alerts": alerts.still_open(),
        "latest": [
            rows.row(job)
            for job in Job.objects.of_users().defer("input").order_by("-created_at")[:LATEST]
        ],
        "minutes": int(RECENT.total_seconds() // 60),
    }


def _faults() -> str:
    try:
        rules = provider.faults()
    except provider.ProviderAwayError as error:
        return str(error)
    return ", ".join(rule["kind"].replace("_", " ") for rule in rules) or "none: it answers"


def _failures(live: model_views.Live) -> str:
    failed = round(live.failure_rate * live.calls)
    calls = "call" if live.calls == 1 else "calls"
    return f"{failed} of {live.calls} {calls} failed" if live.calls else "no calls yet"


def _windows(now: Any) -> list[tuple[str, overview.Spend]]:
    found = overview.spend(now)
    return [(slug, found[slug]) for slug in registry.offered()]


def _feature(slug: str, window: overview.Spend) -> dict[str, Any]:
    feature = registry.get(slug)
    used = window.spent + window.held
    return {
        "title": feature.title,
        "prompt": controls.prompt_version(feature),
        "spent": money.cents(used),
        "cap": "no cap" if window.cap is None else money.cents(window.cap),
        "share": _share(used, window.cap),
    }


def _share(used: int, cap: int | None) -> int:
    """Return the used part of a cap in percent. A cap of nothing is used up."""
    if cap is None:
        return 0
    return min(100, round(100 * used / cap)) if cap else 100
