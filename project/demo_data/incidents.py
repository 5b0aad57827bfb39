"""Incidents of the synthetic days: a trip of the kill switch, an outage, and small things."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from aifeature.models import Alert, AuditedAnswer, RefusedSubmissions, Release
from aifeature.money import cents
from project.demo_data import opinions
from project.demo_data.history import AuditLog
from project.demo_data.requests import HAIKU
from project.demo_data.rows import Person, Request
from project.demo_data.story import ANSWER, SUMMARIZE, Story

SPIKES: Final = "cost_spike"
"""Name of the check, and kind of its alert."""

AUDITED: Final = 24
"""Answers a week."""

AUDIT_WEEKS: Final = 4
HALLUCINATED: Final = (9, 31, 80)
"""Places of the hallucinated answers among all audited ones: one in each of three weeks."""

UNCLEAR: Final = (15, 50)
NOT_READ: Final = 3
"""Of the newest week."""


def trip(story: Story, requests: Sequence[Request], operator: Any, log: AuditLog) -> None:
    """Write the trip of the kill switch, its alerts, and its release by a person."""
    span = story.trip
    figures = _figures(story, requests)
    today, usual = figures["today_micro"], figures["baseline_micro"]
    rush = sum(_cost(each) for each in requests if _is_rush(story, each))
    who = _spender(story, requests)
    seen = (
        f"Summarize spent {cents(today)} today by {span.begins:%H:%M} UTC, {today / usual:.1f}"
        f" times the usual {cents(usual)} by then. {who} spent {cents(rush)} of it."
    )
    log.add(
        *(SUMMARIZE, "killed", "False", "True", span.begins, seen), check=SPIKES, figures=figures
    )
    reason = "One school summarised a year of minutes at once. We agreed on a limit with them."
    log.add(SUMMARIZE, "killed", "True", "False", span.ends, reason, user=operator)
    log.add(SUMMARIZE, "kill_reason", seen, "", span.ends, reason, user=operator)
    _alert("kill_switch", SUMMARIZE, seen, span.begins, span.ends, figures, operator)
    advice = "Its kill switch is pulled: check the top spenders, then release it in admin."
    _alert(SPIKES, SUMMARIZE, f"{seen} {advice}", span.begins, span.ends, figures, operator)


def _spender(story: Story, requests: Sequence[Request]) -> str:
    found = next((each for each in requests if _is_rush(story, each)), None)
    return f"User {found.user.pk}" if found else "One user"


def _is_rush(story: Story, request: Request) -> bool:
    is_one = request.user.weight >= 1  # the first user has the greatest weight
    return request.feature == SUMMARIZE and is_one and story.rush.holds(request.created)


def _figures(story: Story, requests: Sequence[Request]) -> dict[str, Any]:
    """Return what the check of cost spikes stores with a trip."""
    at = story.trip.begins
    days = [at - timedelta(days=back) for back in range(8)]
    spent = [
        sum(
            _cost(each)
            for each in requests
            if each.feature == SUMMARIZE
            and each.created.date() == day.date()
            and each.created < day
        )
        for day in days
    ]
    baseline = max(1, sorted(spent[1:])[3])
    rush = [each for each in requests if _is_rush(story, each)]
    return {
        "day": at.date().isoformat(),
        "at": at.isoformat(timespec="seconds"),
        "kind": "spike",
        "today_micro": spent[0],
        "baseline_micro": baseline,
        "ratio": round(spent[0] / baseline, 2),
        "limit_micro": max(6_000_000, 2 * baseline),
        "excess_micro": max(0, spent[0] - baseline),
        "latest_hour_micro": sum(map(_cost, rush)),
        "latest_half_hour_micro": sum(map(_cost, rush)),
        "usual_half_hour_micro": baseline // 16,
        "cap_micro": 110_000_000,
        "cap_lasts_h": None,
    }


def _cost(request: Request) -> int:
    return sum(call.cost_micro for call in request.calls)


def outage(story: Story, operator: Any) -> None:
    """Write the alert about the overloaded model."""
    span = story.outage
    text = f"The circuit breaker of {HAIKU} is open: 61 % of its calls failed within a minute."
    _alert("breaker_open", HAIKU, text, span.begins, span.ends, {"failed": 0.61}, operator)


def _alert(
    kind: str,
    subject: str,
    summary: str,
    begins: datetime,
    ends: datetime,
    figures: dict[str, Any],
    operator: Any,
) -> None:
    """Write an alert that is over. On-call was notified of its beginning and of its end."""
    Alert.objects.create(
        kind=kind,
        subject=subject,
        summary=summary,
        figures=figures,
        opened_at=begins,
        seen_at=ends,
        closed_at=ends,
        notified_at=begins + timedelta(seconds=4),
        end_notified_at=ends + timedelta(seconds=4),
        acknowledged_at=begins + timedelta(minutes=6),
        acknowledged_by=operator,
    )


def regression(begins: datetime, ends: datetime, summary: str, operator: Any) -> None:
    """Write the alert about a regression in the weekly evaluations, which is over."""
    _alert("eval_regression", SUMMARIZE, summary, begins, ends, {}, operator)


def releases(story: Story) -> None:
    """Write the releases of the code."""
    before = ""
    for name, at in story.releases:
        Release.objects.create(name=name, replaces=before, began_at=at)
        before = name


def audits(story: Story, requests: Sequence[Request], operator: Any, *, seed: int = 18) -> int:
    """Write the answers that a person read. Return their number."""
    rng = random.Random(f"{seed} audits")  # noqa: S311 (synthetic data)
    answers = [r for r in requests if r.feature == ANSWER and opinions.is_answer(r)]
    monday = story.now.date() - timedelta(days=story.now.weekday())
    rows: list[AuditedAnswer] = []
    for back in range(AUDIT_WEEKS, 0, -1):
        week = monday - timedelta(weeks=back)
        mine = [r for r in answers if week <= r.created.date() < week + timedelta(weeks=1)]
        for request in rng.sample(mine, min(AUDITED, len(mine))):
            is_open = back == 1 and len(mine) > AUDITED and len(rows) >= 4 * AUDITED - NOT_READ
            rows.append(_audit(request, week, len(rows), operator, is_open=is_open))
    AuditedAnswer.objects.bulk_create(rows)
    return len(rows)


def _audit(
    request: Request, week: Any, place: int, operator: Any, *, is_open: bool
) -> AuditedAnswer:
    label = AuditedAnswer.Label.GROUNDED
    if place in HALLUCINATED:
        label = AuditedAnswer.Label.HALLUCINATED
    elif place in UNCLEAR:
        label = AuditedAnswer.Label.UNCLEAR
    monday = request.created.replace(hour=8, minute=0, second=0, microsecond=0)
    at = monday + timedelta(days=7 - request.created.weekday(), minutes=2 * place)
    return AuditedAnswer(
        job_id=request.id,
        feature=request.feature,
        week=week,
        sample=1,
        label=AuditedAnswer.Label.WAITING if is_open else label,
        labelled_by=None if is_open else operator,
        labelled_at=None if is_open else min(at, request.created + timedelta(days=8)),
        created_at=at - timedelta(hours=2),
    )


def refused(story: Story, people: Iterable[Person]) -> None:
    """Write some submissions over a user's limits."""
    rate, budget = RefusedSubmissions.Kind.RATE_LIMITED, RefusedSubmissions.Kind.BUDGET_EXHAUSTED
    heavy = sorted(people, key=lambda each: -each.weight)[:4]
    for number, person in enumerate(heavy):
        RefusedSubmissions.objects.create(
            user_id=person.pk,
            feature=SUMMARIZE,
            day=(story.now - timedelta(days=3 * number + 1)).date(),
            kind=budget if number == 0 else rate,
            count=3 + 2 * number,
        )
