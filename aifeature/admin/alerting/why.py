"""Why an alert was opened: value, threshold, window, changes before it, and the rows that counted.

The template `aifeature/admin/alert_why.html` shows the result. It shows rows and links only to
visitors with the permission that each names.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib.admin.utils import quote
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode

from aifeature import registry
from aifeature.admin.alerting import open_alerts
from aifeature.admin.common.show import figures as in_one_line
from aifeature.admin.common.show import utc
from aifeature.models import Alert, HealthReading, NumberAction
from aifeature.services.alarms import counted, words
from aifeature.services.alarms.counted import Link, Table

_COLOURS: Final[Mapping[str, str]] = {"green": "success", "amber": "warning", "red": "danger"}

_DOTS: Final[Mapping[str, str]] = {
    "prompt": "danger",
    "deploy": "info",
    "model": "info",
    "switch": "warning",
}
"""Colours of changes. Those of prompts and releases explain most."""


def context(alert: Alert) -> dict[str, Any]:
    """Return what the template shows of an alert. Alerts without a number have figures alone."""
    figures = alert.figures if isinstance(alert.figures, dict) else {}
    table = counted.rows(alert)
    return {
        "number": _number(alert, figures) if "number" in figures else None,
        "figures": "" if "number" in figures else in_one_line(figures),
        "changes": _changes(alert, figures),
        "table": _table(table) if table else None,
        "links": _links(alert),
        "runbook": open_alerts.runbook(alert.kind),
    }


def _number(alert: Alert, figures: Mapping[str, Any]) -> dict[str, Any]:
    unit = str(figures.get("unit", ""))
    facts = [
        ("Sample", str(figures.get("sample", "-"))),
        ("Window", _window(figures)),
        ("Red since", _at(figures.get("since"))),
    ]
    if "low" in figures and "high" in figures:
        ends = (words.value(figures[end], unit) for end in ("low", "high"))
        facts.append(("Interval (95 %)", " to ".join(ends)))
    facts.append(("Action", _action(figures.get("action"))))
    return {
        "value": words.value(figures.get("value"), unit),
        "threshold": words.value(figures.get("threshold"), unit),
        "facts": facts,
        "now": _now(alert, str(figures["number"]), unit),
    }


def _action(found: Any) -> str:
    """Return an action and its state, such as `Roll the prompt back: done`."""
    found = found if isinstance(found, dict) else {}
    action, state = str(found.get("action", "")), str(found.get("state", ""))
    label = NumberAction(action).label if action in NumberAction else action or "none"
    return f"{label}: {state.replace('_', ' ')}" if state else label


def _now(alert: Alert, number: str, unit: str) -> dict[str, str] | None:
    """Return the newest reading of the number."""
    reading = HealthReading.objects.filter(feature=alert.subject, number=number).first()
    if reading is None:
        return None
    return {
        "level": reading.level,
        "colour": _COLOURS.get(reading.level, ""),
        "value": words.value(reading.figures.get("value"), unit),
        "at": utc(reading.measured_at),
    }


def _changes(alert: Alert, figures: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the changes before the alert as a timeline shows them, the newest first."""
    found = []
    for each in reversed(figures.get("changes") or []):
        at = _moment(each.get("at"))
        if at is not None:
            found.append(
                {
                    "before": words.span((alert.opened_at - at).total_seconds()),
                    "at": utc(at),
                    "text": str(each.get("text", "")),
                    "kind": str(each.get("kind", "")),
                    "colour": _DOTS.get(str(each.get("kind", "")), ""),
                }
            )
    return found


def _table(table: Table) -> dict[str, Any]:
    pages = [(link, _address(link)) for link in table.links]
    rows = [
        {"cells": cells[:-1], "last": cells[-1], "url": url, "permission": link and link.permission}
        for cells, (link, url) in zip(table.rows, pages, strict=True)
    ]
    return {
        "title": table.title,
        "headers": table.headers,
        "rows": rows,
        "permission": table.permission,
        "is_full": len(rows) >= counted.MOST,
        "most": counted.MOST,
    }


def _links(alert: Alert) -> list[dict[str, str]]:
    if alert.subject not in registry.slugs():
        return []
    pk = quote(alert.subject)
    query = urlencode({"feature": alert.subject})
    found = [
        {
            "text": "Dashboard of this feature",
            "icon": "monitoring",
            "url": f"{url}?{query}" if (url := _reverse("dashboard")) else "",
            "permission": "",
        },
        {
            "text": "Its controls, ramp and kill switch",
            "icon": "tune",
            "url": _reverse("admin:aifeature_featurecontrol_change", pk),
            "permission": "aifeature.view_featurecontrol",
        },
        {
            "text": "Prompts and evidence",
            "icon": "verified",
            "url": _reverse("admin:aifeature_featurecontrol_prompts", pk),
            "permission": "aifeature.view_featurecontrol",
        },
    ]
    return [each for each in found if each["url"]]


def _address(link: Link | None) -> str:
    return _reverse(link.url_name, quote(link.pk)) if link else ""


def _reverse(name: str, *arguments: str) -> str:
    """Return the address of a page; empty if this project has no such page."""
    try:
        return reverse(name, args=arguments)
    except NoReverseMatch:
        return ""


def _window(figures: Mapping[str, Any]) -> str:
    begins, ends = _at(figures.get("begins")), _at(figures.get("ends"))
    return f"{words.span(figures.get('window_s') or 0)}: {begins} to {ends}"


def _at(text: object) -> str:
    return utc(_moment(text))


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found.astimezone(UTC) if found and found.tzinfo else None
