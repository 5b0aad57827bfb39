"""The check itself, once a minute: update sums, judge, throttle users, stop features, alert."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from aifeature.models import Alert
from aifeature.models.functions import database_now
from aifeature.money import cents
from aifeature.policies.spike import Kind, Verdict
from aifeature.services import ticks
from aifeature.services.alerting import alerts, check_runs
from aifeature.services.alerting.check_runs import Found
from aifeature.services.controls import GLOBAL, switch
from aifeature.services.monitoring.spikes import history, notices, rollup, shares, throttle
from aifeature.services.monitoring.spikes.history import CHECK, USER_SPIKE
from aifeature.services.monitoring.spikes.judge import Known, Rules, feature_of, judge_all

TASK: Final = "control.cost_spike"
COST_SPIKE: Final = "cost_spike"
"""Kind of alerts about features and GLOBAL."""

_MINUTE: Final = ticks.every(60)


def run_once() -> bool:
    """Run the check unless another process has run it in this minute. Return whether it ran."""
    if not ticks.claim(TASK, _MINUTE):
        return False
    check_runs.run(f"control.{CHECK}", lambda: evaluate(database_now()))
    return True


def evaluate(now: datetime, rules: Rules = Rules()) -> Found:  # noqa: B008 (frozen)
    """Throttle users and stop features whose spend is a spike at this moment.

    A switch stays pulled until a person releases it, even after the baseline has caught up.
    """
    rollup.roll_up(now)
    rollup.prune(now)
    known, verdicts = judge_all(
        history.known(now, least_of_user=rules.user.min_spend_micro),
        lambda: history.spenders(now),
        now,
        rules,
    )
    spikes = {key: verdict for key, verdict in verdicts.items() if verdict.kind is not Kind.OK}
    users = [key for key in known.users if key in spikes]
    for key in users:
        if key not in known.done:
            most = shares.top(known, feature_of(key), spikes[key].kind, now)
            throttle.throttle(key, spikes[key], most, now)
    switches = [key for key in known.days if key in spikes]
    for slug in switches:
        _stop(slug, spikes[slug], known, now)
    # A throttle and its alert last until midnight.
    _end(USER_SPIKE, [*users, *known.done])
    _end(COST_SPIKE, switches)
    return _found(verdicts[GLOBAL], users, switches, spikes, now)


def _stop(slug: str, verdict: Verdict, known: Known, now: datetime) -> None:
    most = shares.top(known, slug, verdict.kind, now)
    figures = notices.figures(verdict, now) | {"top_spenders": shares.figures(most)}
    seen = notices.sentence(f"{notices.name(slug)} spent {notices.why(verdict, now)}")
    seen = f"{seen} {shares.sentence(most)}"
    switch.trip(slug, check=CHECK, reason=seen, figures=figures)
    alerts.begin(
        COST_SPIKE,
        slug,
        f"{seen} Its kill switch is pulled: check the top spenders, then release it in admin.",
        figures,
    )


def _end(kind: str, ongoing: list[str]) -> None:
    for alert in Alert.objects.filter(kind=kind, closed_at=None).exclude(subject__in=ongoing):
        alerts.end(kind, alert.subject)


def _found(
    everything: Verdict,
    users: list[str],
    switches: list[str],
    spikes: dict[str, Verdict],
    now: datetime,
) -> Found:
    figures = {
        "everything": notices.figures(everything, now),
        "spikes": {key: notices.figures(verdict, now) for key, verdict in spikes.items()},
    }
    parts = [f"{notices.name(slug)} spent {notices.why(spikes[slug], now)}" for slug in switches]
    if users:
        parts.append(f"{len(users)} {'user' if len(users) == 1 else 'users'} far above the usual")
    if parts:
        return Found(ok=False, result=notices.sentence("; ".join(parts)), figures=figures)
    spent = f"{cents(everything.today)} spent today"
    if everything.baseline is None:
        usual = "too few days of history for a baseline"
    else:
        usual = f"{cents(everything.baseline)} is usual by now"
    return Found(ok=True, result=f"Nothing unusual: {spent}, {usual}.", figures=figures)
