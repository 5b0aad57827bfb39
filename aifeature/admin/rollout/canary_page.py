"""The page of a canary, and its card on the page of its feature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from aifeature import registry
from aifeature.admin.common.names import title_of
from aifeature.admin.common.show import moment, money, utc
from aifeature.admin.rollout import canary_chart
from aifeature.models import Canary, ControlChange
from aifeature.models.canary import OPEN
from aifeature.policies.canary import LEAST_USERS, MOST_HARM, Metric
from aifeature.services.rollout import canaries

Fact = tuple[str, Any, str, str]
"""Name, value, remark and CSS class."""

ACTIVATE: Final = "aifeature.activate_prompt"

COLOURS: Final = {
    "running": "info",
    "held": "warning",
    "rolled_back": "danger",
    "promoted": "success",
    "stopped": "",
}

_MOST_SHOWN: Final = 1_000_000
_METRICS: Final = ("metric", "candidate", "live version", "users compared", "e-value")
_DECISIONS: Final = ("when", "what", "who", "reason")


def context(request: HttpRequest, canary: Canary) -> dict[str, Any]:
    """Return all that the page shows to this visitor."""
    figures = canary.figures or {}
    metrics = figures.get("metrics", {})
    return {
        "canary": canary,
        "title": f"Canary of {title_of(canary.feature)} {canary.version}",
        "feature": title_of(canary.feature),
        "feature_url": _url("featurecontrol_change", canary.feature),
        "prompts_url": _prompts_url(canary),
        "label": (COLOURS.get(canary.state, ""), canary.get_state_display()),
        "buttons": buttons(request, canary),
        "facts": list(_facts(canary, figures)),
        "chart": canary_chart.of(metrics),
        "metrics": {"headers": _METRICS, "rows": [_metric(n, metrics.get(n)) for n in Metric]},
        "decisions": {
            "headers": _DECISIONS,
            "rows": [_decision(row) for row in canaries.decisions(canary)],
        },
        "steps": ", ".join(
            f"{step.percent} % since {utc(step.started_at)}" for step in canary.steps.all()
        ),
    }


def card(request: HttpRequest, slug: str) -> dict[str, Any] | None:
    """Return the card on the page of a feature; None for features without users."""
    feature = registry.find(slug)
    if feature is None or feature.internal:
        return None
    rows = canaries.of_feature(slug)
    current = next((row for row in rows if row.state in OPEN), None)
    may = request.user.has_perm(ACTIVATE)
    found: dict[str, Any] = {
        "ended": [
            {
                "url": _url("canary_change", row.pk),
                "name": f"{row.version} against {row.live_version}",
                "label": (COLOURS.get(row.state, ""), row.get_state_display()),
                "when": f"{row.ended_at:%Y-%m-%d}" if row.ended_at else "",
            }
            for row in rows
            if row.state not in OPEN
        ],
        "buttons": [],
    }
    if current is not None:
        found |= {
            "url": _url("canary_change", current.pk),
            "name": f"{current.version} against {current.live_version}",
            "label": (COLOURS.get(current.state, ""), current.get_state_display()),
            "facts": list(_facts(current, current.figures or {}))[:3],
            "hold_reason": current.hold_reason,
        }
    elif may:
        url = _url("canary_start", slug)
        found["buttons"] = [{"text": "Start a canary", "url": url, "icon": "experiment"}]
    return found


def buttons(request: HttpRequest, canary: Canary) -> list[dict[str, Any]]:
    """Return the buttons that have an effect and that this visitor may press."""
    if canary.state not in OPEN or not request.user.has_perm(ACTIVATE):
        return []
    is_held = canary.state == Canary.State.HELD
    goes = ("Continue", "go_on", "play_arrow") if is_held else ("Hold", "hold", "pause")
    made = [
        ("Change share", "share", "percent"),
        goes,
        ("Promote", "promote", "rocket_launch"),
        ("Stop", "stop", "stop_circle"),
    ]
    return [
        {
            "text": text,
            "url": _url(f"canary_{action}", canary.pk),
            "icon": icon,
            "danger": action == "stop",
        }
        for text, action, icon in made
    ]


def _facts(canary: Canary, figures: Mapping[str, Any]) -> Iterator[Fact]:
    yield "Share", f"{canaries.share_of(canary)} %", "of users, without staff", ""
    users = figures.get("users", 0)
    yield "Users compared", f"{users:,}", f"of {LEAST_USERS} for a promotion", ""
    low, high = figures.get("harm", (-1, 1))
    known = high < 1
    text = f"{100 * low:+.1f} to {100 * high:+.1f} points" if known else "not known yet"
    yield (
        *("Harm in errors", text),
        f"its upper end must be below {100 * MOST_HARM:.0f}",
        "" if not known or high < MOST_HARM else "aif-doubt",
    )
    yield _ratio(figures.get("ratio"))
    yield "Watched", f"{canary.watched_s / 3600:.1f} h", "of 24 for a promotion", ""
    limit = canary.cost_limit_micro
    cost = "not tested" if limit is None else f"above {money(limit)}"
    too_few = "too few answers of the live version to set a limit" if limit is None else ""
    yield "Dear", cost, too_few, ""
    yield "Slow", f"above {canary.latency_limit_ms / 1000:g} s", "", ""
    goes = "by itself" if canary.promotes else "by a person"
    yield "Goes live", goes, "when its figures permit it", ""
    yield "Started", utc(canary.created_at), canary.reason, ""
    yield "Checked", utc(canary.checked_at), "", ""
    if canary.ended_at:
        yield "Ended", utc(canary.ended_at), "", ""


def _ratio(found: Mapping[str, Any] | None) -> Fact:
    if not found:
        return "Sample ratio", "not known yet", "", ""
    is_wrong = found["e"] >= found["threshold"]
    split = "does not fit the share" if is_wrong else "fits the share"
    remark = f"e-value {found['e']:g} of {found['threshold']:,}"
    return "Sample ratio", split, remark, "aif-bad" if is_wrong else ""


def _metric(name: Metric, found: Mapping[str, Any] | None) -> list[Any]:
    words = name.replace("_", " ").capitalize()
    if found is None:
        return [words, "-", "-", "-", "not tested"]
    is_alarm = found["e"] >= found["threshold"]
    shown = f"{found['e']:.3g}" if found["e"] < _MOST_SHOWN else f"above {_MOST_SHOWN:,}"
    value = format_html('<strong class="aif-bad">{}</strong>', shown) if is_alarm else shown
    arms = (found["candidate"], found["live"])
    of = format_html("{} of {}", value, found["threshold"])
    return [words, *map(_rate, arms), f"{found['users']:,}", of]


def _rate(arm: list[int]) -> str:
    harmed, users = arm
    return f"{harmed:,} of {users:,} ({harmed / users:.1%})" if users else "-"


def _decision(row: ControlChange) -> list[Any]:
    change = f"{row.old} → {row.new}" if row.old else row.new
    who = row.user.get_username() if row.user else row.check_name
    return [moment(row.at), change, who, row.reason]


def _prompts_url(canary: Canary) -> str:
    return f"{_url('featurecontrol_prompts', canary.feature)}#{canary.version}"


def _url(name: str, key: object) -> str:
    return reverse(f"admin:aifeature_{name}", args=(quote(str(key)),))
