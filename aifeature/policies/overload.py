"""Whether a job that is submitted now would be begun in time."""

from __future__ import annotations

from aifeature.models.load import Load


def wait_s(load: Load, *, ahead: int) -> float:
    """Seconds until a thread takes a job with so many ahead of it, as far as can be known.

    Each thread takes the next one after a mean call; what the provider lets through is booked on
    top of one another. Without a call lately nothing is known, and nothing speaks against it.
    """
    in_line = ahead / load.slots * (load.call_s or 0.0)
    return max(in_line, load.booked_s)


def too_late_by_s(load: Load, *, ahead: int, deadline_s: float) -> float | None:
    """By how many seconds it would miss its deadline; None: it is in time."""
    late = wait_s(load, ahead=ahead) + (load.call_s or 0.0) - deadline_s
    return late if late > 0 else None
