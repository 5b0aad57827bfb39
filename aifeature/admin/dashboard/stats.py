"""The cards: one figure of the range each, with its difference from the period before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from aifeature.admin.dashboard.units import (
    Difference,
    Tone,
    Unit,
    difference,
    percent,
    ratio,
    usd,
)
from aifeature.models import UserCostDay
from aifeature.policies.intervals import wilson
from aifeature.services.dashboard.figures import Figures
from aifeature.services.dashboard.quality import AuditedWeek
from aifeature.services.numbers.sums import Sums


@dataclass(frozen=True, slots=True)
class Card:
    """A figure. `model` is the one whose permission shows it."""

    slug: str
    title: str
    model: str
    value: str
    unit: str
    note: str
    change: Difference


@dataclass(frozen=True, slots=True)
class _Stat:
    slug: str
    title: str
    model: str
    unit: Unit
    read: Callable[[Sums], float | None]
    note: Callable[[Sums], str] = lambda _: ""
    more_is: Tone = ""


def per_answer(sums: Sums) -> float | None:
    """Return dollars for each answer: all calls of users' jobs count, also of failed ones."""
    return usd(ratio(sums.spend_micro, sums.ended - sums.failed))


def _others(sums: Sums) -> str:
    return f"and {sums.others:,} ended by a person, limit or switch" if sums.others else ""


def _votes(sums: Sums) -> str:
    if not sums.votes:
        return "no votes"
    ends = wilson(sums.votes_down, sums.votes)
    return (
        f"{100 * ends.low:.1f} to {100 * ends.high:.1f} %, {sums.votes_down:,} of"
        f" {sums.votes:,} votes"
    )


STATS: Final = (
    _Stat("requests", "Requests", "job", Unit.COUNT, lambda s: s.ended, _others),
    _Stat(
        *("errors", "Error rate", "job", Unit.PERCENT, lambda s: percent(s.error_rate)),
        lambda s: f"{s.failed:,} of {s.ended:,} failed",
        "bad",
    ),
    _Stat("p50", "Latency p50", "job", Unit.SECONDS, lambda s: s.p50_s, more_is="bad"),
    _Stat(
        *("p95", "Latency p95", "job", Unit.SECONDS, lambda s: s.p95_s),
        lambda s: f"{s.slow:,} of {s.timed:,} above 10 s",
        "bad",
    ),
    _Stat(
        *("ttft", "Time to first token p50", "job", Unit.SECONDS, lambda s: s.ttft_p50_s),
        more_is="bad",
    ),
    _Stat(
        *("wait", "Wait in the queue p95", "job", Unit.SECONDS, lambda s: s.wait_p95_s),
        more_is="bad",
    ),
    _Stat(
        *("thumbs-down", "Thumbs down", "feedback", Unit.PERCENT, lambda s: percent(s.down_rate)),
        _votes,
        "bad",
    ),
    _Stat(
        *("cost", "Cost", "spendwindow", Unit.USD, lambda s: usd(s.spend_micro)),
        lambda s: f"{s.calls:,} provider calls",
    ),
    _Stat(
        *("cost-per-answer", "Cost per answer", "spendwindow", Unit.USD, per_answer),
        more_is="bad",
    ),
    _Stat(
        *("tokens", "Tokens", "attempt", Unit.COUNT, lambda s: s.prompt_tokens + s.output_tokens),
        lambda s: f"{Unit.COUNT.text(s.prompt_tokens)} in, {Unit.COUNT.text(s.output_tokens)} out",
    ),
    _Stat(
        *("cache", "Saved by the cache", "attempt", Unit.USD, lambda s: usd(s.cache_saved_micro)),
        lambda s: f"{Unit.PERCENT.text(percent(s.cache_rate))} of prompt tokens read from it",
        "good",
    ),
    _Stat(
        *("refusals", "Refused by the model", "attempt", Unit.COUNT, lambda s: s.refusals),
        lambda s: f"of {s.calls:,} calls",
    ),
    _Stat(
        *("fallbacks", "Fallbacks", "job", Unit.COUNT, lambda s: s.fallbacks),
        lambda s: f"and {s.degraded:,} plain answers without a model",
    ),
    _Stat("guards", "Guard hits", "guardevent", Unit.COUNT, lambda s: s.guard_hits),
)


def cards(figures: Figures, may_see: Callable[[str], bool]) -> list[Card]:
    """Return the cards of a range that the visitor may see."""
    return [
        Card(
            each.slug,
            each.title,
            each.model,
            *each.unit.parts(each.read(figures.now)),
            each.note(figures.now),
            difference(
                each.unit, each.read(figures.now), _earlier(each, figures), more_is=each.more_is
            ),
        )
        for each in STATS
        if may_see(each.model)
    ]


def per_user(
    days: Sequence[UserCostDay], earlier: Sequence[UserCostDay], may_see: Callable[[str], bool]
) -> Iterator[Card]:
    """Yield the card of the cost per user and complete day."""
    if may_see("spendwindow"):
        now, before = _per_user(days), _per_user(earlier)
        users = sum(each.users for each in days)
        yield Card(
            *("cost-per-user", "Cost per user and day", "spendwindow"),
            *Unit.USD.parts(now),
            f"of {users:,} users, counted once a day and feature" if users else "no complete day",
            difference(Unit.USD, now, before, more_is="bad"),
        )


def audited(weeks: Sequence[AuditedWeek], may_see: Callable[[str], bool]) -> Iterator[Card]:
    """Yield the card of the newest audited week, compared with the one before."""
    if may_see("auditedanswer"):
        known = [week for week in weeks if week.bad.total][-2:]
        now = known[-1].bad if known else None
        rate = percent(now.rate) if now is not None else None
        before = percent(known[0].bad.rate) if len(known) > 1 else None
        note = "no answer was labelled in twelve weeks"
        if now is not None and (ends := now.interval):
            where = f"{100 * ends.low:.1f} to {100 * ends.high:.1f} %"
            note = f"{where}, {now.count} of {now.total} labels, week of {known[-1].week:%d %b}"
        yield Card(
            *("hallucinations", "Hallucination rate", "auditedanswer"),
            *Unit.PERCENT.parts(rate),
            note,
            difference(Unit.PERCENT, rate, before, more_is="bad"),
        )


def _earlier(stat: _Stat, figures: Figures) -> float | None:
    """Return the value before. Without any request then, zero would be no comparison."""
    return stat.read(figures.before) if figures.before.ended or figures.before.calls else None


def _per_user(days: Sequence[UserCostDay]) -> float | None:
    return usd(ratio(sum(each.spend_micro for each in days), sum(each.users for each in days)))
