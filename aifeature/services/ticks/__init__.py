"""Runs a scheduled task once per period, even if beat sends it twice.

Public: all names below.

Size limit: 100 lines.
"""

from aifeature.services.ticks.periods import DAILY, KEPT, WEEKLY, Period, claim, every, prune, take

__all__ = ["DAILY", "KEPT", "WEEKLY", "Period", "claim", "every", "prune", "take"]
