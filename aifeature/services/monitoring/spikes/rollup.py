"""Sums the ledger up by the hour, for the baseline. What was missed is made up for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from aifeature.models import SpendHour
from aifeature.services.monitoring.spikes.costs import PHANTOM, SPEND

KEPT: Final = timedelta(days=60)
"""How long an hour's sum is kept."""

MADE_UP: Final = timedelta(days=15)
"""How far back missed hours are summed: what a dry run of a week and its baselines need."""

# A call counts in the hour in which it began. In one order, so that two at once do not wait for
# each other.
_SUM_UP: Final = f"""
WITH calls AS MATERIALIZED (
    SELECT date_trunc('hour', a.started_at, 'UTC') AS hour, a.feature, a.user_id,
           sum({SPEND}) AS spend, sum({PHANTOM}) AS phantom, count(*) AS calls
      FROM aifeature_attempt a
     WHERE a.started_at >= %(since)s AND a.started_at < %(until)s
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
    """Sum up the hour of this moment and the one before, and all that were missed.

    An hour is summed anew for as long as a call that began in it may be under way. What a person
    settles later stays in it at its upper bound.

    Returns:
        How many sums have changed.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SUM_UP, {"since": _since(now), "until": now})
        changed: int = cursor.rowcount
        return changed


def _since(now: datetime) -> datetime:
    """No hour is left out: the last one that was summed is the first to be summed again."""
    latest = SpendHour.objects.order_by("-hour").values_list("hour", flat=True).first()
    known = latest or now - MADE_UP
    hour = now.replace(minute=0, second=0, microsecond=0)
    return max(min(known, hour) - timedelta(hours=1), hour - MADE_UP)


def prune(now: datetime) -> int:
    """Forget sums of long ago. Returns how many."""
    deleted, _ = SpendHour.objects.filter(hour__lt=now - KEPT).delete()
    return deleted
