"""Opens and closes alerts for on-call, and records each run of a scheduled check.

Public: `alerts`, `check_runs`.

Size limit: 250 lines.
"""

from aifeature.services.alerting import alerts, check_runs

__all__ = ["alerts", "check_runs"]
