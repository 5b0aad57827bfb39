"""The check that alerts on-call while models or the account of the provider fail."""

from __future__ import annotations

from django.conf import settings

from aifeature.models import Forced
from aifeature.services.alerting import alerts
from aifeature.services.alerting.check_runs import Found
from aifeature.services.provider import account, account_words, factory, model_views, odd_answers
from aifeature.services.provider.model_views import ModelView


def check() -> Found:
    """Check the account, the breaker of each model, and the provider as a whole."""
    account.end_unused()
    views = model_views.views()
    away = [view.model for view in views if _is_away(view)]
    outage = _check_outage()
    for view in views:
        _check_breaker(view)
    odd_answers.end_old()
    if stopped := account.stopped():
        rows = [account_words.summary(row.account, row.code, row.detail) for row in stopped]
        return Found(ok=False, result=" ".join(rows))
    if not away:
        return Found(ok=True, result="Calls to every model go through.")
    result = f"Nothing is sent to {', '.join(away)}."
    if outage:
        result = f"{result} The provider is down: jobs wait, and none falls back."
    return Found(ok=False, result=result)


def _check_outage() -> bool:
    """Open or close the alert about an outage. Return whether the provider is down."""
    provider = settings.AIFEATURE["PROVIDER"]
    failing = factory.gate().outage()
    if not failing:
        alerts.end("provider_outage", provider)
        return False
    summary = (
        f"The provider {provider} is down: {' and '.join(failing)} failed within a minute of each"
        " other. Jobs wait, and none falls back to another model. Small probes are sent every few"
        " seconds; jobs continue by themselves once a model answers. Check the provider's status"
        " page, and decide whether to refuse submissions meanwhile."
    )
    alerts.begin("provider_outage", provider, summary, {"models": list(failing)})
    return True


def _check_breaker(view: ModelView) -> None:
    if not _is_away(view):
        alerts.end("breaker_open", view.model)
        return
    live = view.live
    if view.forced is Forced.OPEN:
        summary = f"An operator forced the breaker of {view.model} open: {view.reason}"
    else:
        summary = (
            f"The circuit breaker of {view.model} is open: of the {live.calls} calls that opened it"
            f" {live.failure_rate:.0%} failed and {live.slow_rate:.0%} were slow. Jobs go to the"
            " next model of their route if that one answers, or wait. Small probes are sent to"
            " this model every few seconds."
        )
    figures = {
        "calls": live.calls,
        "failure_rate": live.failure_rate,
        "slow_rate": live.slow_rate,
        "shared": live.shared,
    }
    alerts.begin("breaker_open", view.model, summary, figures)


def _is_away(view: ModelView) -> bool:
    # A half-open breaker counts: otherwise each probe would close and reopen the alert.
    return view.forced is Forced.OPEN or (
        view.forced is Forced.AUTOMATIC and view.live.state != "closed"
    )
