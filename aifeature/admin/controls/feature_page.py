"""Read-only panels of a feature's page: models, trips, alerts and spend."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from aifeature import prompts, registry
from aifeature.admin.alerting import number_actions, open_alerts
from aifeature.admin.audit_log.changes import named
from aifeature.admin.common.show import figures, moment
from aifeature.admin.controls import cards, prompt_notices, why
from aifeature.admin.controls.breaker_rows import HEADERS, cells
from aifeature.admin.controls.switch_buttons import buttons
from aifeature.admin.rollout import canary_page, ramps
from aifeature.services import access
from aifeature.services.controls import GLOBAL, kill_switch_history, switch, switch_state
from aifeature.services.monitoring import overview
from aifeature.services.promotion import activations
from aifeature.services.provider import model_views


def panels(request: HttpRequest, slug: str, now: datetime) -> dict[str, Any]:
    """Return the panels that this visitor may see."""
    found: dict[str, Any] = {}
    if switch.exists(slug):
        found["buttons"] = buttons(request, switch_state.of(slug))
    if registry.find(slug) and cards.may_see(request, "featurecontrol"):
        found["numbers"] = number_actions.card(request, slug)
        found["ramp"] = ramps.card(request, slug, now)
        found["prompts_url"] = prompt_notices.prompts_url(slug)
        found["narrowing"] = access.narrowing(slug)
        found["why"] = why.card(request, slug)
        found["canary"] = canary_page.card(request, slug)
        found["notices"] = prompt_notices.of_request(activations.open_request(slug))
    if slug in registry.offered() and cards.may_see(request, "feedback"):
        found["feedback_url"] = f"{reverse('admin:aifeature_feedback_figures')}?feature={slug}"
    if cards.may_see(request, "alert"):
        found["alerts"] = open_alerts.rows(None if slug == GLOBAL else slug)
    if slug == GLOBAL:
        if cards.may_see(request, "featurecontrol"):
            found["switch"] = cards.switch_of(GLOBAL)
        if cards.may_see(request, "spendwindow"):
            found["day"] = cards.spend_bar(overview.spend(now)[GLOBAL])
            found["month"] = cards.spend_bar(overview.month(now))
    if cards.may_see(request, "modelcontrol"):
        found["models"] = {"headers": HEADERS, "rows": _models(slug)}
    if cards.may_see(request, "controlchange"):
        found["trips"] = {"headers": ["when", "what", "check", "reason", "figures"]}
        found["trips"]["rows"] = [
            [moment(row.at), named(row), row.check_name, row.reason, figures(row.figures)]
            for row in kill_switch_history.latest(slug)
        ]
    return found


def _models(slug: str) -> list[list[str]]:
    feature = registry.all_features().get(slug)
    return [
        cells(view)
        for view in model_views.views()
        if feature is None or view.model in prompts.models(feature)
    ]
