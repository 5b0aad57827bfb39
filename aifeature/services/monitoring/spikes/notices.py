"""Texts and figures of the cost-spike check for alerts and the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aifeature.money import cents
from aifeature.policies.spike import Kind, Verdict
from aifeature.services.controls import GLOBAL


def name(slug: str) -> str:
    """Return the name of a switch for use in a sentence."""
    return "everything" if slug == GLOBAL else slug


def sentence(text: str) -> str:
    """Add an initial capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def why(verdict: Verdict, now: datetime) -> str:
    """Describe the spend, to continue "<user or feature> spent"."""
    by = f"{cents(verdict.today)} today by {now:%H:%M} UTC"
    if verdict.kind is Kind.BURN and verdict.cap is not None:
        return (
            f"{by}, {cents(verdict.latest_hour)} of it in the latest hour: at this rate the day's"
            f" cap of {cents(verdict.cap)} is gone in {verdict.cap_lasts_h or 0:.1f} hours"
        )
    if verdict.kind is Kind.SURGE:
        return (
            f"{by}, {cents(verdict.latest_half_hour)} of it in the latest half hour, where"
            f" {cents(verdict.usual_half_hour or 0)} is already high for that time of day"
        )
    if verdict.share is not None:
        part = f"{100 * verdict.share.of_excess:.0f} %"
        return f"{by}, {part} of what {name(verdict.share.slug)} spends above its usual"
    if verdict.ratio is None:
        return f"{by}, although usually nothing is spent by then"
    usual = cents(verdict.baseline or 0)
    when = "on a whole day" if verdict.whole_days else "by then"
    return f"{by}, {verdict.ratio:.1f} times the usual {usual} {when}"


def figures(verdict: Verdict, now: datetime) -> dict[str, Any]:
    """Return the numbers of a verdict as JSON. `history` reads them back."""
    lasts = verdict.cap_lasts_h
    return {
        "day": now.date().isoformat(),
        "at": now.isoformat(timespec="seconds"),
        "kind": verdict.kind.value,
        "today_micro": verdict.today,
        "baseline_micro": verdict.baseline,
        "ratio": verdict.ratio,
        "limit_micro": verdict.limit,
        "excess_micro": verdict.excess,
        "latest_hour_micro": verdict.latest_hour,
        "latest_half_hour_micro": verdict.latest_half_hour,
        "usual_half_hour_micro": verdict.usual_half_hour,
        "cap_micro": verdict.cap,
        "cap_lasts_h": None if lasts is None else round(lasts, 2),
    }
