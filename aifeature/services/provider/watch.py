"""The check that alerts on-call while models or the account of the provider fail.

It sends the probes that are due, because a model without waiting jobs gets no others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from django.conf import settings

from aifeature.models import Forced
from aifeature.services.alerting import alerts
from aifeature.services.alerting.check_runs import Found
from aifeature.services.provider import account, account_words, factory, model_views, odd_answers
from aifeature.services.provider.model_views import Live, ModelView

UNUSED_S: Final = 120.0
"""Seconds after an answered probe without calls of jobs, until the alert ends. With less, the alert
of a model that answers probes and fails jobs would end between two jobs."""


def check(probe: Callable[[str], None]) -> Found:
    """Check the account, the breaker of each model, and the provider as a whole.

    `probe` sends a probe to a model.
    """
    account.end_unused()
    views = model_views.views()
    away, outage = _update_alerts(views)  # before the probes, which take seconds in an outage
    due = [view.model for view in views if _needs_probe(view)]
    if due and account.is_well():
        for model in due:
            probe(model)
        away, outage = _update_alerts(model_views.views())
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


def _update_alerts(views: Sequence[ModelView]) -> tuple[list[str], bool]:
    """Open and close the alerts. Return the models that get no calls, and whether all are down."""
    away = [view.model for view in views if _is_away(view)]
    outage = _check_outage(away)
    for view in views:
        _check_breaker(view)
    return away, outage


def _check_outage(away: list[str]) -> bool:
    """Open or close the alert about an outage. Return whether the provider is down."""
    provider = settings.AIFEATURE["PROVIDER"]
    failing = factory.gate().outage()
    if not set(failing).intersection(away):
        alerts.end("provider_outage", provider)
        return False
    summary = (
        f"The provider {provider} is down: {' and '.join(failing)} failed within a minute of each"
        " other. Jobs wait, and none falls back to another model. Small probes are sent every few"
        " seconds while jobs wait, otherwise with each check of the provider; jobs continue by"
        " themselves once a model answers. Check the provider's status page, and decide whether to"
        " refuse submissions meanwhile."
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
            f"The circuit breaker of {view.model} is open: {_cause(live)}. Jobs go to the next"
            " model of their route if that one answers, or wait. Small probes are sent to this"
            " model until one is answered: every few seconds while jobs wait for it, otherwise with"
            " each check of the provider. Then the next jobs try it. This alert ends when they"
            f" succeed, or {UNUSED_S / 60:.0f} minutes after the answered probe if there are none."
        )
    figures = {
        "calls": live.calls,
        "failure_rate": live.failure_rate,
        "slow_rate": live.slow_rate,
        "shared": live.shared,
    }
    alerts.begin("breaker_open", view.model, summary, figures)


def _cause(live: Live) -> str:
    """Return the calls that opened a breaker, as a part of a sentence."""
    if live.calls == 1:
        found = {"failed": live.failure_rate, "was slow": live.slow_rate}
        return f"the call that opened it {' and '.join(word for word in found if found[word])}"
    return (
        f"of the {live.calls} calls that opened it {live.failure_rate:.0%} failed and"
        f" {live.slow_rate:.0%} were slow"
    )


def _needs_probe(view: ModelView) -> bool:
    return view.forced is Forced.AUTOMATIC and view.live.probe_due


def _is_away(view: ModelView) -> bool:
    # A half-open breaker counts: otherwise each probe would close and reopen the alert. One that
    # admits calls may stay half open, because no job needs its model.
    return view.forced is Forced.OPEN or (
        view.forced is Forced.AUTOMATIC
        and view.live.state != "closed"
        and view.live.unused_s < UNUSED_S
    )
