"""Figures for operators: today's counts, latency, held time, workers, people, and cost spikes.

Public: `overview`, `latency`, `held_time`, `people` (who spends, is flagged and runs into limits),
`refused_submissions` (counts for it), `signs_of_life`, and the package `spikes`.

Size limit: 2,750 lines.
"""

from aifeature.services.monitoring import (
    held_time,
    latency,
    overview,
    people,
    refused_submissions,
    signs_of_life,
    spikes,
)

__all__ = [
    "held_time",
    "latency",
    "overview",
    "people",
    "refused_submissions",
    "signs_of_life",
    "spikes",
]
