"""Composes the dashboard: reads what the visitor may see, and makes it ready to be drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse

from aifeature.admin.alerting import open_alerts
from aifeature.admin.common.names import title_of
from aifeature.admin.dashboard import (
    boards,
    breakdown,
    chart_list,
    choice,
    numbers_table,
    state,
    stats,
)
from aifeature.admin.dashboard.charts import MARKERS, Chart, Mark, place
from aifeature.admin.dashboard.choice import Choice
from aifeature.models.functions import database_now
from aifeature.services.alarms import changes
from aifeature.services.alarms.changes import Change
from aifeature.services.controls import GLOBAL, switch_state
from aifeature.services.dashboard import figures, present, quality, ranges
from aifeature.services.dashboard.figures import Figures
from aifeature.services.dashboard.quality import AuditedWeek
from aifeature.services.monitoring import overview, people
from aifeature.services.provider import model_views

TRACKED_H: Final = 72
"""Hours in the trackers."""

WEEKS: Final = 4
"""Weeks behind the board of the week."""

SPENDERS: Final = 5
SPENDERS_DAYS: Final = 7
"""Most days of the users by cost: more would read a row for each user and day."""

NOW: Final = "now"
"""The part that is fetched most often: all that does not depend on the range."""

LEAST_DAYS: Final = 14
"""Least days in the chart of the cost per user, which has one point a day."""

MaySee = Callable[[str], bool]


def permission(request: HttpRequest) -> MaySee:
    """Return a function that returns whether the visitor may see rows of a model."""

    def may_see(model: str) -> bool:
        app, _, name = model.rpartition(".")
        label = app or "aifeature"
        return any(request.user.has_perm(f"{label}.{verb}_{name}") for verb in ("view", "change"))

    return may_see


def context(request: HttpRequest) -> dict[str, Any]:
    """Return all that the page draws. Reads only what the visitor may see."""
    may_see, now = permission(request), database_now()
    chosen = choice.of(request.GET.dict(), present.features())
    found = {**_choices(chosen), "as_of": now, **_now(chosen, now, may_see)}
    if request.GET.get("part") == NOW:
        return {**found, "only_now": True}
    return {
        **found,
        **_range(request, chosen, now, may_see),
        **_spenders(request, chosen, may_see),
    }


def _choices(chosen: Choice) -> dict[str, Any]:
    page = reverse("dashboard")
    return {
        "features": [
            ("", "All features", chosen.slug is None),
            *((slug, title_of(slug), slug == chosen.slug) for slug in chosen.features),
        ],
        "scope": title_of(chosen.slug) if chosen.slug else "All features",
        "range": chosen.range,
        "ranges": [
            (each.label, f"{page}?{chosen.query(range=each.key)}", each is chosen.range)
            for each in ranges.RANGES.values()
        ],
        "live_url": f"{reverse('dashboard_live')}?{chosen.query()}",
        "here": f"{page}?{chosen.query()}",
        "chosen": chosen,
    }


def _now(chosen: Choice, now: datetime, may_see: MaySee) -> dict[str, Any]:
    """Return what is independent of the range: alerts, the table, the state."""
    found: dict[str, Any] = {"facts": list(_facts(chosen, now, may_see))}
    if may_see("alert"):
        found["alerts"] = sorted(open_alerts.rows(), key=lambda row: bool(row.handled))
        found["alerts_url"] = reverse("admin:aifeature_alert_changelist")
    hours = _hours(chosen, now) if may_see("job") else {}
    found["trackers"] = [boards.tracker(title_of(slug), rows) for slug, rows in hours.items()]
    if any(may_see(metric.model) for metric in numbers_table.METRICS):
        stored = present.readings(chosen.slugs)
        found["table"] = numbers_table.table(
            present.numbers(chosen.slugs, stored, now),
            stored,
            now,
            may_see=may_see,
            sparks=_sparks(hours),
        )
        found["stale"] = numbers_table.stale(present.measured_at(), now)
    return found


def _spenders(request: HttpRequest, chosen: Choice, may_see: MaySee) -> dict[str, Any]:
    """Return the users by cost. Names need a permission of their own."""
    if not may_see("refusedsubmissions"):
        return {}
    days = min(SPENDERS_DAYS, chosen.range.days())
    rows = people.spenders(slug=chosen.slug or "", days=days, most=SPENDERS)
    names = any(request.user.has_perm(f"auth.{verb}_user") for verb in ("view", "change"))
    return {
        "spenders": state.spenders(rows, names=names),
        "spenders_days": days,
        "people_url": reverse("admin:aifeature_refusedsubmissions_changelist"),
    }


def _hours(chosen: Choice, now: datetime) -> dict[str, boards.Hours]:
    return {slug: figures.hours(slug, TRACKED_H, now) for slug in chosen.slugs}


def _sparks(hours: dict[str, boards.Hours]) -> dict[tuple[str, str], Sequence[float | None]]:
    """Return the last 24 hours of the numbers that are measured by the hour."""
    found: dict[tuple[str, str], Sequence[float | None]] = {}
    for slug, rows in hours.items():
        last = [sums for _, sums in rows[-24:]]
        found[slug, "errors"] = [sums.error_rate for sums in last]
        found[slug, "latency"] = [sums.p95_s for sums in last]
    return found


def _facts(chosen: Choice, now: datetime, may_see: MaySee) -> Iterator[state.Fact]:
    if may_see("job"):
        yield from state.queue(overview.queue(now))
    if may_see("featurecontrol"):
        yield state.switches(switch_state.of_all([GLOBAL, *chosen.slugs]), chosen.slugs)
    if may_see("modelcontrol"):
        yield state.breakers(model_views.views())
    if may_see("featurecontrol"):
        yield from map(state.ramp, present.open_ramps(chosen.slugs))
    if may_see("canary"):
        yield from map(state.canary, present.open_canaries(chosen.slugs))


def _range(request: HttpRequest, chosen: Choice, now: datetime, may_see: MaySee) -> dict[str, Any]:
    """Return the cards, charts and tables of the range."""
    if not any(may_see(stat.model) for stat in stats.STATS):
        return {"is_blank": True}
    found = figures.read(chosen.slug, chosen.range, now)
    weeks = quality.audits(chosen.slug, now) if may_see("auditedanswer") else []
    drawn = _charts(chosen, now, may_see, found, weeks)
    days, earlier = _user_days(chosen, now, may_see)
    marks = changes_of(chosen, now) if may_see("controlchange") else []
    return {
        "is_empty": not (found.now.ended or found.now.calls or found.now.others),
        "cards": [
            *stats.cards(found, may_see),
            *stats.per_user(days, earlier, may_see),
            *stats.audited(weeks, may_see),
        ],
        "charts": [
            {
                "chart": chart,
                "marks": _marks(request, chosen, chart, marks),
                "csv": _csv_url(chosen, chart),
            }
            for chart in drawn
        ],
        "breakdown": _breakdown(chosen, now, may_see),
        "week": _week(chosen, now) if may_see("job") else None,
    }


def charts(request: HttpRequest) -> list[Chart]:
    """Return the charts that the visitor may see, for the choice of the address."""
    may_see, now = permission(request), database_now()
    chosen = choice.of(request.GET.dict(), present.features())
    weeks = quality.audits(chosen.slug, now) if may_see("auditedanswer") else []
    return _charts(chosen, now, may_see, figures.read(chosen.slug, chosen.range, now), weeks)


def _charts(
    chosen: Choice, now: datetime, may_see: MaySee, found: Figures, weeks: Sequence[AuditedWeek]
) -> list[Chart]:
    drawn = chart_list.of_range(found, chosen.range.step_s)
    if may_see("spendwindow"):
        first, last = _dates(chosen, now)
        rows = present.user_days(chosen.slugs, first, last)
        drawn.append(chart_list.per_user(rows, first, last))
    if may_see("evals.weeklyrun"):
        drawn.append(chart_list.evals(quality.evaluations(chosen.slug, now)))
    if may_see("auditedanswer"):
        drawn.append(chart_list.audits(weeks))
    return [chart for chart in drawn if may_see(chart.model)]


def _dates(chosen: Choice, now: datetime) -> tuple[Any, Any]:
    """Return the first and the last complete day of the chart of the cost per user."""
    last = now.date() - timedelta(days=1)
    return last - timedelta(days=max(LEAST_DAYS, chosen.range.days()) - 1), last


def _user_days(chosen: Choice, now: datetime, may_see: MaySee) -> tuple[list[Any], list[Any]]:
    """Return the complete days of the range and as many before them."""
    if not may_see("spendwindow"):
        return [], []
    count = timedelta(days=chosen.range.days())
    last = now.date() - timedelta(days=1)
    begin = last - count
    rows = present.user_days(chosen.slugs, begin - count + timedelta(days=1), last)
    return [row for row in rows if row.day > begin], [row for row in rows if row.day <= begin]


def changes_of(chosen: Choice, now: datetime) -> list[Change]:
    """Return the changes of the longest time that a chart shows."""
    begin = min(chosen.range.begin(now), now - timedelta(days=LEAST_DAYS))
    return changes.between(chosen.slug, begin, now)


def _marks(
    request: HttpRequest, chosen: Choice, chart: Chart, found: Sequence[Change]
) -> list[Mark]:
    step_s = _step_s(chart, chosen)
    placed = [
        (each, at) for each in found if (at := place(each.at, chart.times, step_s)) is not None
    ]
    return [
        Mark(
            number,
            at,
            f"{each.at:%d %b %H:%M}",
            each.kind.value,
            f"{title_of(each.feature)}: {each.text}"
            if each.feature and chosen.slug is None
            else each.text,
            _change_url(request, each),
        )
        for number, (each, at) in enumerate(placed[-MARKERS:], 1)
    ]


def _step_s(chart: Chart, chosen: Choice) -> float:
    """Return the seconds between the rows of a chart. Charts by day and week have their own."""
    if len(chart.times) > 1:
        return (chart.times[-1] - chart.times[0]).total_seconds() / (len(chart.times) - 1)
    return chosen.range.step_s


def _change_url(request: HttpRequest, change: Change) -> str:
    if not change.url_name or not request.user.has_perm(change.permission):
        return ""
    return reverse(change.url_name, args=(change.url_pk,))


def _csv_url(chosen: Choice, chart: Chart) -> str:
    return f"{reverse('dashboard_csv', args=(chart.slug,))}?{chosen.query(by='', sort='')}"


def _breakdown(chosen: Choice, now: datetime, may_see: MaySee) -> dict[str, Any]:
    by, _ = breakdown.BY[chosen.by]
    begin = chosen.range.begin(now)
    rows = figures.divided(chosen.slug, by, begin, now, features=chosen.features)
    page = reverse("dashboard")
    table = breakdown.table(rows, chosen.by, chosen.sort, may_see)
    return {
        "by": [
            (title, f"{page}?{chosen.query(by=key, sort='')}#breakdown", key == chosen.by)
            for key, (_, title) in breakdown.BY.items()
        ],
        "heads": [
            (head, f"{page}?{chosen.query(sort=head.next)}#breakdown") for head in table.heads
        ],
        "rows": table.rows,
    }


def _week(chosen: Choice, now: datetime) -> dict[str, Any]:
    return boards.week(figures.weekdays(chosen.slug, WEEKS, now))
