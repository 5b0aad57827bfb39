"""Text about a model's circuit breaker and what remains of the provider's limits."""

from __future__ import annotations

from typing import Final

from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils.html import format_html

from aifeature.admin.common.show import NO_LIMIT, Labelled, span
from aifeature.models import Forced
from aifeature.services.provider.model_views import Live, ModelView

HEADERS: Final = ["model", "breaker", "failed", "slow", "provider limits"]

COLOURS: Final = {"closed": "success", "open": "danger", "trying": "warning", "forced": "warning"}
_STATES: Final = {"closed": "closed", "open": "open", "half_open": "half-open, testing"}


def cells(view: ModelView) -> list[str]:
    url = reverse("admin:aifeature_modelcontrol_change", args=(quote(view.model),))
    link = format_html('<a class="aif-link aif-nowrap" href="{}">{}</a>', url, view.model)
    colour, text = state(view)
    tone = "aif-bad" if colour == "open" else "aif-doubt" if colour != "closed" else ""
    live = view.live
    return [
        link,
        format_html('<span class="{}">{}</span>', tone, text),
        failed(live),
        slow(live),
        limits(live),
    ]


def state(view: ModelView) -> Labelled:
    """Return a key of `COLOURS` and the breaker's state in words."""
    live = view.live
    if view.forced == Forced.OPEN:
        return Labelled("open", "forced open: no calls are sent")
    if view.forced == Forced.CLOSED:
        return Labelled("forced", "forced closed: all calls are sent")
    text = _STATES[live.state]
    if live.state == "open" and live.open_for_s > 0:
        text = f"open, retries in {span(live.open_for_s)}"
    if not live.shared:
        text += " (Redis is unavailable: state of this process only)"
    return Labelled({"half_open": "trying"}.get(live.state, live.state), text)


def failed(live: Live) -> str:
    """Return the share of failed calls and the number of calls."""
    return f"{live.failure_rate:.0%} of {live.calls}" if live.calls else "-"


def slow(live: Live) -> str:
    return f"{live.slow_rate:.0%}" if live.calls else "-"


def limits(live: Live) -> str:
    """Return what remains of each limit that the provider reported."""
    limited = [one for one in live.limits if one.per_minute < NO_LIMIT]
    parts = [f"{one.name}: {one.remaining:,} of {one.per_minute:,}/min" for one in limited]
    if live.limits and not limited:
        parts = ["no limit"]
    if live.blocked_s > 0:
        parts.append(f"provider asked to wait {span(live.blocked_s)}")
    return "; ".join(parts) or "not reported yet"
