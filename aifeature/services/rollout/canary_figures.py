"""The figures of a canary as they are stored with it and in the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from typing import Any, Final

from aifeature.policies.canary import ALPHA, RATIO_ALPHA, Figures, Reading

MOST_POINTS: Final = 120
"""Points of a curve that are stored."""

MOST_LOG: Final = log(1e12)
"""An e-value above this is stored as this."""


def as_json(found: Figures) -> dict[str, Any]:
    """Return the figures with the curves, for the page."""
    brief = in_brief(found)
    for reading in found.readings.values():
        brief["metrics"][reading.metric]["curve"] = _points(reading.curve)
    return brief


def in_brief(found: Figures) -> dict[str, Any]:
    """Return the figures without the curves, for a row of the audit log."""
    return {
        "users": found.users,
        "harm": [round(end, 4) for end in found.harm],
        "ratio": {"e": _e(found.log_ratio), "threshold": round(1 / RATIO_ALPHA)},
        "metrics": {str(each.metric): _reading(each) for each in found.readings.values()},
    }


def _reading(each: Reading) -> dict[str, Any]:
    return {
        "candidate": [each.candidate.harmed, each.candidate.users],
        "live": [each.live.harmed, each.live.users],
        "users": len(each.blocks),
        "e": _e(each.log_highest),
        "threshold": round(1 / ALPHA[each.metric]),
    }


def _points(curve: Sequence[float]) -> list[list[float]]:
    """Return points of a curve as users and e-value: its highest one, its last one, and some."""
    if not curve:
        return []
    stride = max(1, len(curve) // MOST_POINTS)
    chosen = {*range(0, len(curve), stride), len(curve) - 1}
    chosen.add(max(range(len(curve)), key=curve.__getitem__))
    return [[i + 1, _e(curve[i])] for i in sorted(chosen)]


def _e(logarithm: float) -> float:
    """Return an e-value with four digits."""
    return float(f"{exp(max(-MOST_LOG, min(logarithm, MOST_LOG))):.4g}")
