"""Latency of jobs from submission to the end, without the time a kill switch held them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db import connection

from aifeature.models import Job, Status
from aifeature.services.controls import GLOBAL
from aifeature.services.monitoring.held_time import holds

_ANSWERED: Final = (Status.SUCCEEDED, Status.FAILED)

# Seconds for which a job was held. Holds of the feature and of GLOBAL may overlap, so the query
# measures their union.
_HELD: Final = """
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(extract(epoch FROM upper(part) - lower(part))), 0)::float AS seconds
          FROM (SELECT range_agg(tstzrange(h.begins, h.ends) * tstzrange(
                           j.created_at, greatest(j.created_at, j.finished_at))) AS parts
                  FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[], %s::integer[])
                       AS h (feature, begins, ends, percent)
                 WHERE h.feature IN (j.feature, %s)
                   AND (h.percent = 0 OR aif_release_place(h.feature, j.user_id) >= h.percent)
               ) AS held, unnest(held.parts) AS part) AS held"""


def percentiles(since: datetime, *, sample: int) -> dict[str, tuple[float, float]]:
    """Return the median and the 95th percentile by feature in seconds, with three queries.

    They cover the newest `sample` jobs that users submitted since then and succeeded or failed.
    """
    on = holds(since)
    columns = ("feature", "created_at", "finished_at")  # covered by an index if nothing was held
    newest = (
        Job.objects.of_users()
        .filter(created_at__gte=since, status__in=_ANSWERED)
        .order_by("-created_at", "-id")
        .values(*columns, *(("user_id",) if on else ()))[:sample]
    )
    inner, arguments = newest.query.sql_with_params()
    took = "extract(epoch FROM j.finished_at - j.created_at)::float"
    # The ORM has no percentile.
    statement = f"""
        SELECT j.feature, percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
                   ORDER BY {took}{" - held.seconds" if on else ""})
          FROM ({inner}) AS j {_HELD if on else ""} GROUP BY j.feature"""  # noqa: S608 (made by the ORM)
    if on:
        each = zip(*((h.feature, h.begins, h.ends, h.percent) for h in on), strict=True)
        arguments = (*arguments, *map(list, each), GLOBAL)
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return {slug: (middle, high) for slug, (middle, high) in cursor.fetchall()}
