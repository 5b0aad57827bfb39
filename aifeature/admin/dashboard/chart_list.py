"""The charts of the dashboard, made of the figures of a range."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from aifeature.admin.common.names import title_of
from aifeature.admin.dashboard.charts import Chart, Column, Role, labels, level
from aifeature.admin.dashboard.stats import per_answer
from aifeature.admin.dashboard.units import Tone, Unit, difference, percent, ratio, usd
from aifeature.models import UserCostDay
from aifeature.policies.intervals import Interval, wilson
from aifeature.policies.numbers import RULES, Six
from aifeature.services.dashboard.figures import Figures, Step
from aifeature.services.dashboard.quality import AuditedWeek, Evaluation
from aifeature.services.numbers.sums import Sums

Read = Callable[[Sums], float | None]

_ROLES: Final[tuple[Role, ...]] = ("a", "b", "c", "d")


@dataclass(frozen=True, slots=True)
class _Spec:
    """A chart of one value of the sums, beside the same of the period before."""

    slug: str
    title: str
    model: str
    unit: Unit
    main: str
    read: Read
    more: tuple[tuple[str, Read, Role, Unit | None], ...] = ()
    limit: float | None = None
    more_is: Tone = ""
    note: str = ""
    whole: Read | None = None
    """The figure beside the title, if it is not that of the main line. It may return None."""


SPECS: Final = (
    _Spec(
        *("requests", "Requests", "job", Unit.COUNT, "Ended", lambda s: s.ended),
        more=(("Failed", lambda s: s.failed, "b", None),),
    ),
    _Spec(
        *("latency", "Latency", "job", Unit.SECONDS, "p95", lambda s: s.p95_s),
        more=(("p50", lambda s: s.p50_s, "b", None),),
        limit=RULES[Six.LATENCY].threshold,
        more_is="bad",
        note="From submission to end, without the time held by a kill switch.",
    ),
    _Spec(
        *("errors", "Error rate", "job", Unit.PERCENT, "Errors", lambda s: percent(s.error_rate)),
        more=(
            ("Failed", lambda s: s.failed, "none", Unit.COUNT),
            ("Ended", lambda s: s.ended, "none", Unit.COUNT),
        ),
        limit=100 * RULES[Six.ERRORS].threshold,
        more_is="bad",
    ),
    _Spec(
        *("satisfaction", "Thumbs down", "feedback", Unit.PERCENT, "Thumbs down"),
        lambda s: percent(s.down_rate),
        more=(
            ("low", lambda s: _end(s, low=True), "low", None),
            ("high", lambda s: _end(s, low=False), "high", None),
            ("Votes", lambda s: s.votes, "none", Unit.COUNT),
        ),
        limit=100 * RULES[Six.THUMBS_DOWN].threshold,
        more_is="bad",
        note="With the 95 % interval of the share. A time without votes is a gap.",
    ),
    _Spec(
        *("cost", "Cost", "spendwindow", Unit.USD, "Cost", lambda s: usd(s.spend_micro)),
        more=(("Per answer", per_answer, "none", None),),
        note="Of the calls of users' requests. Evaluations are not in it.",
    ),
    _Spec(
        *("tokens", "Tokens", "attempt", Unit.COUNT, "Input", lambda s: s.input_tokens),
        more=(
            ("Output", lambda s: s.output_tokens, "b", None),
            ("Read from the cache", lambda s: s.cache_read_tokens, "c", None),
            ("Written to the cache", lambda s: s.cache_write_tokens, "d", None),
        ),
        whole=lambda s: s.prompt_tokens + s.output_tokens,
    ),
    _Spec(
        *("cache", "Saved by the cache", "attempt", Unit.USD, "Saved"),
        lambda s: usd(s.cache_saved_micro),
        more=(("Hits", lambda s: percent(s.cache_rate), "none", Unit.PERCENT),),
        more_is="good",
        note="Below zero: more was paid for writing to the cache than reading saved.",
    ),
    _Spec(
        *("waits", "Waits", "job", Unit.SECONDS, "Queue p95", lambda s: s.wait_p95_s),
        more=(("First token p50", lambda s: s.ttft_p50_s, "b", None),),
        more_is="bad",
    ),
    _Spec(
        *("exceptions", "Exceptions", "job", Unit.COUNT, "Fallbacks", lambda s: s.fallbacks),
        more=(
            ("Plain answers", lambda s: s.degraded, "b", None),
            ("Refusals", lambda s: s.refusals, "c", None),
            ("Guard hits", lambda s: s.guard_hits, "d", None),
        ),
        whole=lambda _: None,
        note="Answers by another model or by none, calls refused by the model, and guard hits.",
    ),
)


def of_range(figures: Figures, step_s: int) -> list[Chart]:
    """Return the charts of the sums of a range."""
    times = tuple(step.at for step in figures.steps)
    return [_chart(spec, figures, times, step_s) for spec in SPECS]


def _chart(spec: _Spec, figures: Figures, times: tuple[datetime, ...], step_s: int) -> Chart:
    columns = [
        Column(spec.main, _line(figures.steps, spec.read), "a"),
        *(
            Column(title, _line(figures.steps, read), role, unit)
            for title, read, role, unit in spec.more
        ),
        Column(
            f"{spec.main}, period before", _line(figures.steps, spec.read, before=True), "before"
        ),
    ]
    if spec.limit is not None:
        columns.append(level(spec.limit, len(times)))
    whole = spec.whole or spec.read
    now, before = whole(figures.now), whole(figures.before)
    known = figures.before.ended or figures.before.calls
    return Chart(
        *(spec.slug, spec.title, spec.model, spec.unit),
        labels(times, step_s),
        tuple(columns),
        note=spec.note,
        value="" if now is None and spec.whole else spec.unit.text(now),
        change=difference(spec.unit, now, before if known else None, more_is=spec.more_is),
        times=times,
        is_open=True,
    )


def _line(steps: Sequence[Step], read: Read, *, before: bool = False) -> tuple[float | None, ...]:
    return tuple(read(step.before if before else step.sums) for step in steps)


def _end(sums: Sums, *, low: bool) -> float | None:
    """Return an end of the interval of the thumbs down in percent."""
    if not sums.votes:
        return None
    ends: Interval = wilson(sums.votes_down, sums.votes)
    return percent(ends.low if low else ends.high)


def per_user(days: Sequence[UserCostDay], first: date, last: date) -> Chart:
    """Return the chart of the cost per user of each complete day. A day without users is a gap."""
    count = (last - first).days + 1
    dates = [first + timedelta(days=number) for number in range(count)]
    sums: dict[date, tuple[int, int]] = dict.fromkeys(dates, (0, 0))
    for each in days:
        if each.day in sums:
            micro, users = sums[each.day]
            sums[each.day] = micro + each.spend_micro, users + each.users
    times = tuple(datetime.combine(day, time(), UTC) for day in dates)
    costs = tuple(usd(ratio(*sums[day])) for day in dates)
    return Chart(
        *("cost-per-user", "Cost per user and day", "spendwindow", Unit.USD),
        labels(times, 86_400),
        (
            Column("Cost per user", costs, "a"),
            Column("Users", tuple(sums[day][1] or None for day in dates), "none", Unit.COUNT),
        ),
        note="Complete UTC days. A user of two features counts in both.",
        times=times,
    )


def evals(found: Sequence[Evaluation]) -> Chart:
    """Return the chart of the pass rates of weekly evaluations: a line for each feature."""
    slugs = sorted({each.feature for each in found})
    dates = sorted({each.at.date() for each in found})
    newest = {(each.feature, each.at.date()): each for each in found}
    columns = [
        Column(
            title_of(slug),
            tuple(
                percent(each.rate) if (each := newest.get((slug, day))) else None for day in dates
            ),
            _ROLES[number % len(_ROLES)],
        )
        for number, slug in enumerate(slugs)
    ]
    if len(slugs) == 1:
        runs = [newest[slugs[0], day] for day in dates]
        columns.append(Column("low", tuple(percent(each.low) for each in runs), "low"))
        columns.append(Column("high", tuple(percent(each.high) for each in runs), "high"))
    times = tuple(datetime.combine(day, time(), UTC) for day in dates)
    last = newest[slugs[0], dates[-1]].rate if len(slugs) == 1 else None
    return Chart(
        *("evals", "Eval pass rate", "evals.weeklyrun", Unit.PERCENT),
        labels(times, 86_400),
        tuple(columns),
        note="Weekly evaluations of the live prompt in the last twelve weeks.",
        value=Unit.PERCENT.text(percent(last)) if last is not None else "",
        times=times,
        first="Day",
    )


def audits(weeks: Sequence[AuditedWeek]) -> Chart:
    """Return the chart of the audited hallucination rate by week, with its interval."""
    times = tuple(datetime.combine(week.week, time(), UTC) for week in weeks)
    ends = [week.bad.interval for week in weeks]
    return Chart(
        *("hallucinations", "Hallucination rate", "auditedanswer", Unit.PERCENT),
        labels(times, 86_400),
        (
            Column("Hallucinations", tuple(percent(week.bad.rate) for week in weeks), "a"),
            Column("low", tuple(percent(each.low) if each else None for each in ends), "low"),
            Column("high", tuple(percent(each.high) if each else None for each in ends), "high"),
            Column("Labels", tuple(week.bad.total for week in weeks), "none", Unit.COUNT),
            Column("Not read yet", tuple(week.waiting for week in weeks), "none", Unit.COUNT),
            level(100 * RULES[Six.HALLUCINATIONS].threshold, len(weeks)),
        ),
        note="Random answers that a person read and labelled, by week, with the 95 % interval.",
        times=times,
        first="Week of",
    )
