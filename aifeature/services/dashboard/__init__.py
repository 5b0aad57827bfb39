"""Figures for the dashboard: a time range, the period before, and the present state.

Public: `ranges` (the offered times), `figures` (sums and points), `quality` (weekly evaluations and
audits), `present` (alerts, roll-outs and the features with rows).

Size limit: 600 lines.
"""

from aifeature.services.dashboard import figures, present, quality, ranges

__all__ = ["figures", "present", "quality", "ranges"]
