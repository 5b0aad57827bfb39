"""Shadows: which requests are answered again, and what two judgements of a pair mean."""

from __future__ import annotations

import hashlib
from typing import Literal
from uuid import UUID

Verdict = Literal["candidate", "live", "tie"]


def is_chosen(job: UUID, *, shadow: int, percent: int) -> bool:
    """Return whether a shadow of this share answers the request of a job again.

    A hash decides, so that each repetition decides alike, and each shadow gets other requests.
    """
    digest = hashlib.sha256(f"shadow:{shadow}:{job}".encode()).digest()
    return int.from_bytes(digest[:8]) % 100 < percent


def verdict(live_first: str, candidate_first: str) -> Verdict:
    """Return the preference that both orders of the answers share, else a tie.

    Args:
        live_first: "first", "second" or "same", where the live answer was first.
        candidate_first: The same, where the candidate's was first.

    Example:
        verdict("second", "first") == "candidate"
        verdict("first", "first") == "tie"  # the judge preferred a position
    """
    match live_first, candidate_first:
        case "second", "first":
            return "candidate"
        case "first", "second":
            return "live"
        case _:
            return "tie"
