"""Spend of the latest half hour, from the ledger: hourly sums are too coarse for a surge."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from aifeature.models import OF_USERS
from aifeature.services.controls import GLOBAL
from aifeature.services.monitoring.spikes.costs import PHANTOM, SPEND

HALF_HOUR: Final = timedelta(minutes=30)

_ROWS: Final = f"""
    SELECT a.feature, a.user_id, sum({SPEND} - {PHANTOM})::bigint AS spent
      FROM aifeature_attempt a
     WHERE a.started_at > %(since)s AND a.started_at <= %(until)s AND {OF_USERS}"""  # noqa: S608 (constants)

_FEATURES: Final = (
    f"SELECT c.feature, sum(c.spent)::bigint FROM ({_ROWS} GROUP BY 1, 2) c GROUP BY 1"  # noqa: S608
)

_USERS: Final = f"""
SELECT u.feature || ':' || u.user_id, u.spent
  FROM (SELECT c.*, row_number() OVER (PARTITION BY c.feature ORDER BY c.spent DESC) AS place
          FROM ({_ROWS} AND a.user_id IS NOT NULL GROUP BY 1, 2) c) u
 WHERE u.spent > 0 AND (u.place <= %(most)s OR u.feature || ':' || u.user_id = ANY(%(also)s))"""  # noqa: S608


def of_features(now: datetime) -> dict[str, int]:
    """Return the micro-dollars of GLOBAL and of each feature with calls."""
    with connection.cursor() as cursor:
        cursor.execute(_FEATURES, _between(now))
        spent: dict[str, int] = dict(cursor.fetchall())
    return {**spent, GLOBAL: sum(spent.values())}


def of_users(now: datetime, *, most: int, also: list[str]) -> dict[str, int]:
    """Return the micro-dollars of each feature's top spenders and of the keys in `also`."""
    with connection.cursor() as cursor:
        cursor.execute(_USERS, {**_between(now), "most": most, "also": also})
        return dict(cursor.fetchall())


def _between(now: datetime) -> dict[str, datetime]:
    return {"since": now - HALF_HOUR, "until": now}
