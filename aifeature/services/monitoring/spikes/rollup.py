"""Hourly sums of the ledger for the baseline."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from aifeature.models import OF_USERS, SpendHour
from aifeature.services.monitoring.spikes.costs import PHANTOM, SPEND

KEPT: Final = timedelta(days=60)
"""Retention of hourly sums."""

MADE_UP: Final = timedelta(days=15)
"""Age up to which missed hours are summed; enough to rehearse a week with its baselines."""

# A call counts in the hour in which it began. Calls with a budget of their own, such as those of
# evaluations, are no baseline of what users spend. Rows are written in a fixed order to avoid
# deadlocks.
_SUM_UP: Final = f"""
WITH calls AS MATERIALIZED (
    SELECT date_trunc('hour', a.started_at, 'UTC') AS hour, a.feature, a.user_id,
           sum({SPEND}) AS spend, sum({PHANTOM}) AS phantom, count(*) AS calls
      FROM aifeature_attempt a
     WHERE a.started_at >= %(since)s AND a.started_at < %(until)s AND {OF_USERS}
     GROUP BY 1, 2, 3
)
INSERT INTO aifeature_spendhour AS s (scope, key, hour, spend_micro, phantom_micro, calls)
SELECT 'user', c.feature || ':' || c.user_id, c.hour, c.spend, c.phantom, c.calls
  FROM calls c WHERE c.user_id IS NOT NULL
UNION ALL
SELECT 'feature', c.feature, c.hour, sum(c.spend), sum(c.phantom), sum(c.calls)
  FROM calls c GROUP BY 2, 3
UNION ALL
SELECT 'global', '', c.hour, sum(c.spend), sum(c.phantom), sum(c.calls)
  FROM calls c GROUP BY 3
 ORDER BY 3, 1, 2
    ON CONFLICT (hour, scope, key) DO UPDATE
   SET spend_micro = excluded.spend_micro, phantom_micro = excluded.phantom_micro,
       calls = excluded.calls
 WHERE (s.spend_micro, s.phantom_micro, s.calls)
       IS DISTINCT FROM (excluded.spend_micro, excluded.phantom_micro, excluded.calls)
"""  # noqa: S608 (constants)


def roll_up(now: datetime) -> int:
    """Sum up this hour, the one before, and all missed hours. Return the number of changed sums.

    An hour is summed again while a call that began in it may be in flight. Later settlements do
    not change it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SUM_UP, {"since": _since(now), "until": now})
        changed: int = cursor.rowcount
        return changed


def _since(now: datetime) -> datetime:
    """Return the hour before the last summed one, or before this one, so that none is missed."""
    latest = SpendHour.objects.order_by("-hour").values_list("hour", flat=True).first()
    summed = latest or now - MADE_UP
    hour = now.replace(minute=0, second=0, microsecond=0)
    return max(min(summed, hour) - timedelta(hours=1), hour - MADE_UP)


def prune(now: datetime) -> int:
    """Delete sums older than KEPT. Return their number."""
    deleted, _ = SpendHour.objects.filter(hour__lt=now - KEPT).delete()
    return deleted
