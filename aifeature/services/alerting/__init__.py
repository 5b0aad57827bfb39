"""Opens and closes alerts for on-call, and records each run of a scheduled check.

Public: `alerts`, `checks`.

Size limit: 250 lines.
"""

from aifeature.services.alerting import alerts, checks

__all__ = ["alerts", "checks"]
