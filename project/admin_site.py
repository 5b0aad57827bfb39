"""What frames the admin's pages: the environment's badge and the sidebar."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

Item = dict[str, Any]


def environment(_request: HttpRequest) -> tuple[str, str] | None:
    """Text and colour of the badge in each page's header; None, no badge, in production."""
    if settings.AIFEATURE["PROVIDER"] == "sandbox":
        return "Sandbox provider", "warning"
    return None


def favicon(_request: HttpRequest) -> str:
    """Address of the icon; without one browsers ask for a file that is not there."""
    return static("aifeature/favicon.svg")


def navigation(request: HttpRequest) -> list[Item]:
    """The sidebar: only what this visitor may see."""
    groups = [
        _group(
            "Operate",
            _list(request, "aifeature", "job", "Jobs", "work"),
            _list(request, "aifeature", "attempt", "Attempts", "receipt_long"),
            _list(request, "aifeature", "worker", "Workers", "memory"),
            _list(request, "aifeature", "alert", "Alerts", "error"),
            _list(request, "aifeature", "featurecontrol", "Features", "toggle_on"),
            _list(request, "aifeature", "modelcontrol", "Models", "electrical_services"),
            _list(request, "aifeature", "provideraccount", "Provider accounts", "account_balance"),
            _list(request, "aifeature", "rateoverride", "Rates of users", "speed"),
            _list(request, "aifeature", "launch", "Launches", "rocket_launch"),
            _list(request, "aifeature", "controlchange", "Changes", "history"),
            _list(request, "aifeature", "spendwindow", "Spend", "payments"),
        ),
        _group(
            "Access",
            _list(request, "auth", "user", "Users", "person"),
            _list(request, "auth", "group", "Groups", "group"),
            _list(request, "aifeature", "apitoken", "API tokens", "key"),
        ),
        _group(
            "Schedule",
            _list(request, "django_celery_beat", "periodictask", "Periodic tasks", "schedule"),
            _list(request, "aifeature", "checkrun", "Checks", "fact_check"),
        ),
    ]
    if settings.FLOWER_URL:
        flower = {
            "title": "Flower",
            "icon": "monitoring",
            "link": settings.FLOWER_URL,
            "active": False,
        }
        groups.append(_group("Links", flower))
    return [group for group in groups if group["items"]]


def _group(title: str, *items: Item | None) -> Item:
    return {"title": title, "separator": True, "items": [item for item in items if item]}


def _list(request: HttpRequest, app: str, model: str, title: str, icon: str) -> Item | None:
    permissions = (f"{app}.view_{model}", f"{app}.change_{model}")
    if not any(request.user.has_perm(permission) for permission in permissions):
        return None
    return {"title": title, "icon": icon, "link": reverse(f"admin:{app}_{model}_changelist")}
