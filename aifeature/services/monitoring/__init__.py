"""Figures for operators: today's counts, latency, held time, workers, and the cost-spike check.

Public: `overview`, `latency`, `held_time`, `signs_of_life`, and the package `spikes`.

Size limit: 2,550 lines.
"""

from aifeature.services.monitoring import held_time, latency, overview, signs_of_life, spikes

__all__ = ["held_time", "latency", "overview", "signs_of_life", "spikes"]
