"""Tells on-call when a circuit breaker opens or is forced open, and when it is closed again."""

from __future__ import annotations

from aifeature.models import Forced
from aifeature.services import alerts, model_views
from aifeature.services.checks import Found
from aifeature.services.model_views import ModelView


def check() -> Found:
    """Look at the breaker of each model."""
    views = model_views.views()
    away = [view.model for view in views if _is_away(view)]
    for view in views:
        _look(view)
    if not away:
        return Found(ok=True, result="Calls to every model go through.")
    return Found(ok=False, result=f"Nothing is sent to {', '.join(away)}.")


def _look(view: ModelView) -> None:
    if not _is_away(view):
        alerts.end("breaker_open", view.model)
        return
    live = view.live
    if view.forced is Forced.OPEN:
        summary = f"A person keeps calls from {view.model}: {view.reason}"
    else:
        summary = (
            f"The circuit breaker of {view.model} is open: of its last {live.calls} calls"
            f" {live.failure_rate:.0%} failed and {live.slow_rate:.0%} were slow. Jobs go to the"
            " next model of their route, or wait; a few calls try it every quarter of a minute."
        )
    figures = {
        "calls": live.calls,
        "failure_rate": live.failure_rate,
        "slow_rate": live.slow_rate,
        "shared": live.shared,
    }
    alerts.begin("breaker_open", view.model, summary, figures)


def _is_away(view: ModelView) -> bool:
    """Half open is not closed yet: it would be told as over, and begun anew, at each probe."""
    return view.forced is Forced.OPEN or (
        view.forced is Forced.AUTOMATIC and view.live.state != "closed"
    )
