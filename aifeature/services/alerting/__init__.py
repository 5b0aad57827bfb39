"""Alerts for on-call, and the last run of each scheduled check.

Public: `alerts`, `check_runs`.

Size limit: 250 lines.
"""

from aifeature.services.alerting import alerts, check_runs

__all__ = ["alerts", "check_runs"]
