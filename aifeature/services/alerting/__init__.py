"""Alerts for on-call, what people do about them, and the last run of each scheduled check.

Public: `alerts`, which opens, closes and logs alerts; `outbox`, which writes their deliveries to
channels; `handling`, which acknowledges, assigns and silences; `silences`; `check_runs`.

Size limit: 650 lines.
"""

from aifeature.services.alerting import alerts, check_runs, handling, outbox, silences

__all__ = ["alerts", "check_runs", "handling", "outbox", "silences"]
