"""The page of what users think of a feature: explicit, implicit, outcomes and the hold-out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aifeature import registry, shares
from aifeature.admin.common.names import title_of
from aifeature.admin.common.show import utc
from aifeature.policies.intervals import Interval, Nps, Share
from aifeature.services.feedback import figures, holdout, reasons
from aifeature.services.feedback.figures import Explicit, Implicit, Outcome
from aifeature.services.feedback.holdout import Compared, Comparison

NONE: Final = "none yet"


@dataclass(frozen=True, slots=True)
class Bar:
    """A share as a bar. Lengths are percent of the whole bar."""

    label: str
    text: str
    note: str
    length: float
    low: float | None = None
    high: float | None = None
    tone: str = ""


def context(query: Mapping[str, str]) -> dict[str, Any]:
    """Return all that the page shows for the feature and range of days in its address."""
    offered = registry.offered()
    slug = query.get("feature", "")
    slug = slug if slug in offered else next(iter(offered), "")
    days = next((each for each in figures.RANGES if str(each) == query.get("days")), 30)
    found = figures.of(slug, days=days)
    return {
        "feature": slug,
        "feature_title": title_of(slug),
        "features": [(each, feature.title) for each, feature in offered.items()],
        "days": days,
        "ranges": figures.RANGES,
        "explicit": _explicit(found.explicit),
        "implicit": list(_implicit(found.implicit)),
        "outcomes": _outcomes(found.outcomes),
        "holdout": _holdout(holdout.compare(slug)),
    }


def _share(label: str, share: Share, *, tone: str = "", of: str = "") -> Bar:
    """Return the bar of a share with its interval; without one if it is a share of nothing."""
    rate, interval = share.rate, share.interval
    if rate is None or interval is None:
        return Bar(label, "-", NONE, 0)
    note = f"{share.count:,} of {share.total:,}{f' {of}' if of else ''}, {_span(interval)}"
    ends = 100 * interval.low, 100 * interval.high
    return Bar(label, shares.percent(rate), note, 100 * rate, *ends, tone)


def _explicit(found: Explicit) -> dict[str, Any]:
    most = max(found.reasons.values(), default=1)
    ups = set(reasons.OF[reasons.UP])
    versions = found.by_version.items()
    return {
        "down": _share("Thumbs down", found.down, tone="bad", of="votes"),
        "voted": _share("Answers with a vote", found.voted, of="answers"),
        "complaints": found.complaints,
        "versions": [
            _share(version or "no prompt", share, tone="bad") for version, share in versions
        ]
        if len(versions) > 1
        else [],
        "reasons": [
            Bar(
                reasons.ALL[slug],
                f"{count:,}",
                "",
                100 * count / most,
                tone="good" if slug in ups else "bad",
            )
            for slug, count in found.reasons.items()
        ],
        "nps": _nps(found.nps),
        "scores": [
            {"score": score, "count": found.scores.get(score, 0), "tone": _tone(score)}
            | _column(found.scores, score)
            for score in range(11)
        ],
        "not_now": found.not_now,
    }


def _nps(found: Nps) -> dict[str, Any] | None:
    score, interval = found.score, found.interval
    if score is None or interval is None:
        return None
    return {
        "score": f"{score:+.0f}",
        "interval": f"{interval.low:+.0f} to {interval.high:+.0f}",
        "answers": found.answers,
    }


def _column(scores: Mapping[int, int], score: int) -> dict[str, float]:
    """Return the place of a score's column in a drawing of 220 by 60."""
    height = 44 * scores.get(score, 0) / max(scores.values(), default=1)
    return {"x": 20 * score + 3, "middle": 20 * score + 10, "y": 46 - height, "height": height}


def _tone(score: int) -> str:
    return "good" if score > 8 else "bad" if score < 7 else ""  # noqa: PLR2004 (as NPS defines)


def _implicit(found: Implicit) -> Iterator[Bar]:
    yield _share("Completed", found.completed, tone="good", of="requests")
    yield _share("Came back within 7 days", found.came_back, tone="good", of="new users")
    yield _share("Copied", found.copied, of="answers")
    yield _share("Changed and sent again", found.edited, of="answers")
    yield _share("Asked again unchanged", found.regenerated, of="answers")
    yield _share("Abandoned before the end", found.abandoned, tone="bad", of="requests")


def _outcomes(found: tuple[Outcome, ...]) -> dict[str, Any]:
    return {
        "headers": ["outcome", "users with it", "times", "times per user"],
        "rows": [
            [
                each.name.replace("_", " "),
                f"{each.users.count:,} of {each.users.total:,}",
                f"{each.count:,}",
                f"{each.per_user:.2f}",
            ]
            for each in found
        ],
    }


def _holdout(found: Comparison | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "percent": found.percent,
        "since": utc(found.since),
        "is_open": found.is_open,
        "outcomes": [_compared(each) for each in found.outcomes],
    }


def _compared(each: Compared) -> dict[str, Any]:
    bars = (_share("Could get it", each.others), _share("Hold-out", each.held_out))
    shown: dict[str, Any] = {"name": each.name.replace("_", " "), "bars": bars}
    difference, interval = each.difference, each.interval
    if difference is None or interval is None:
        return {**shown, "least": holdout.LEAST_USERS}
    low, high = shares.points(100 * interval.low), shares.points(100 * interval.high)
    return {
        **shown,
        "difference": f"{shares.points(100 * difference)} points",
        "interval": f"{low} to {high}",
        "verdict": _verdict(interval),
    }


def _verdict(interval: Interval) -> str:
    if interval.low > 0:
        return "More users have this outcome where the feature is offered."
    if interval.high < 0:
        return "Fewer users have this outcome where the feature is offered."
    return "No difference is shown: the interval contains zero."


def _span(interval: Interval) -> str:
    return f"{shares.percent(interval.low)} to {shares.percent(interval.high)}"
