"""The report of a shadow: preferences, cost, latency, failures and spend. No evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.db.models import Avg, Count, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from aifeature.models import Attempt, Shadow, ShadowPair, SpendWindow
from aifeature.models.functions import database_now
from aifeature.money import to_micro
from aifeature.policies.intervals import Share

NO_EVIDENCE: Final = "This report never replaces evidence."

_MOST_PROBLEMS: Final = 10


@dataclass(frozen=True, slots=True)
class Side:
    """The figures of one side's answers, means over the judged pairs; None without one."""

    cost_micro: float | None
    """Micro-dollars for an answer, with its repairs and its moderation."""
    latency_s: float | None
    """Seconds from the first claim to the end, without the time in the queue."""


@dataclass(frozen=True, slots=True)
class Report:
    """The findings of a shadow so far."""

    shadow: Shadow
    wins: int
    """Pairs in which the judge prefers the candidate's answer in both orders."""
    ties: int
    losses: int
    unjudged: int
    open: int
    share: Share
    """The candidate's share of wins and losses."""
    candidate: Side
    live: Side
    problems: Mapping[str, int]
    """Pairs without a verdict, by reason: error codes of the candidate's job among them."""
    spent_micro: int
    """Spend of today in UTC, with reservations."""
    budget_micro: int

    @property
    def pairs(self) -> int:
        """All pairs."""
        return self.wins + self.ties + self.losses + self.unjudged + self.open

    @property
    def sentence(self) -> str:
        """The result in words."""
        found = self.share.interval
        if found is None:
            return "No pair is decided yet."
        low, high = found.low, found.high
        interval = f"between {low:.0%} and {high:.0%} (95 %)"
        if low > 0.5:  # noqa: PLR2004 (one half)
            return f"The judge prefers the candidate: its share of decided pairs is {interval}."
        if high < 0.5:  # noqa: PLR2004
            return f"The judge prefers the live answers: the candidate's share is {interval}."
        return f"No difference is shown: the candidate's share of decided pairs is {interval}."


def latest(slug: str, *, most: int = 10) -> list[Shadow]:
    """Return the newest shadows of a feature, the running one first."""
    return list(Shadow.objects.filter(feature=slug).select_related("created_by")[:most])


def of(shadow: Shadow) -> Report:
    """Return the report of a shadow. A shadow has some thousand pairs at most."""
    rows = ShadowPair.objects.filter(shadow=shadow)
    counts = dict(rows.order_by().values_list("verdict").annotate(n=Count("pk")))
    verdict = ShadowPair.Verdict
    wins, losses = counts.get(verdict.CANDIDATE, 0), counts.get(verdict.LIVE, 0)
    judged = rows.filter(verdict__in=(verdict.CANDIDATE, verdict.LIVE, verdict.TIE))
    problems = rows.filter(verdict=verdict.UNJUDGED).order_by().values_list("problem")
    window = SpendWindow.objects.filter(
        scope=SpendWindow.Scope.FEATURE, key=f"_shadow:{shadow.pk}", day=database_now().date()
    ).first()
    return Report(
        shadow=shadow,
        wins=wins,
        ties=counts.get(verdict.TIE, 0),
        losses=losses,
        unjudged=counts.get(verdict.UNJUDGED, 0),
        open=counts.get(verdict.OPEN, 0),
        share=Share(wins, wins + losses),
        candidate=_side(judged, "shadow_job"),
        live=_side(judged, "job"),
        problems=dict(problems.annotate(n=Count("pk")).order_by("-n")[:_MOST_PROBLEMS]),
        spent_micro=window.spent_micro + window.held_micro if window else 0,
        budget_micro=to_micro(shadow.daily_budget_usd) or 0,
    )


def _side(judged: QuerySet[ShadowPair], job: str) -> Side:
    calls = Attempt.objects.filter(job=OuterRef(job)).order_by().values("job")
    cost = Subquery(calls.annotate(micro=Sum("cost_micro")).values("micro"))
    took = F(f"{job}__finished_at") - F(f"{job}__started_at")
    found = judged.annotate(micro=Coalesce(cost, 0)).aggregate(
        cost_mean=Avg("micro"),
        took_mean=Avg(took, filter=Q(**{f"{job}__started_at__isnull": False})),
    )
    micro, seconds = found["cost_mean"], found["took_mean"]
    return Side(
        cost_micro=None if micro is None else float(micro),
        latency_s=None if seconds is None else seconds.total_seconds(),
    )
