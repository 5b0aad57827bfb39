"""Latency of jobs from submission to the end, without the time a kill switch held them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection

from aifeature.models import Job, Origin, Status
from aifeature.services.controls import GLOBAL
from aifeature.services.monitoring.held_time import Hold, holds

OF_USERS: Final = f"job.origin = '{Origin.USER}'"

_ANSWERED: Final = (Status.SUCCEEDED, Status.FAILED)

LONGEST: Final = timedelta(days=31)
"""Longest life of a job: a person may take 30 days to decide about its answer."""

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
    with connection.cursor() as cursor:
        cursor.execute(statement, (*arguments, *_arguments(on)))
        return {slug: (middle, high) for slug, (middle, high) in cursor.fetchall()}


def slowest(slug: str, begin: datetime, end: datetime, *, most: int) -> dict[UUID, float]:
    """Return the latency in seconds of the slowest answers by job, the slowest first.

    They are of users' jobs that ended with an answer from `begin` until before `end`. The time in
    which a person decided about an answer is no latency.
    """
    inner, arguments = _answers(slug, begin, end)
    statement = f"SELECT id, took FROM ({inner}) AS a ORDER BY took DESC, id LIMIT %s"  # noqa: S608 (our words)
    with connection.cursor() as cursor:
        cursor.execute(statement, (*arguments, most))
        return dict(cursor.fetchall())


def slow_by_user(
    slug: str, begin: datetime, end: datetime, *, above_s: float
) -> list[tuple[int, int]]:
    """Return of each user the answers that took longer than this, and all; as in `slowest`."""
    inner, arguments = _answers(slug, begin, end)
    statement = f"""
        SELECT count(*) FILTER (WHERE took > %s), count(*)
          FROM ({inner}) AS a GROUP BY user_id"""  # noqa: S608 (our words)
    with connection.cursor() as cursor:
        cursor.execute(statement, (above_s, *arguments))
        found: list[tuple[int, int]] = cursor.fetchall()
    return found


def _answers(slug: str, begin: datetime, end: datetime) -> tuple[str, tuple[Any, ...]]:
    """Return a query for the id, the user and the latency of each answer, and its arguments."""
    on = holds(begin - LONGEST)
    statement = f"""
        SELECT j.id, j.user_id, extract(epoch FROM j.finished_at - j.created_at)::float
                     {"- held.seconds" if on else ""} AS took
          FROM (SELECT id, feature, user_id, created_at,
                       CASE WHEN approval_expires_at IS NULL THEN finished_at
                            ELSE coalesce((SELECT max(a.ended_at) FROM aifeature_attempt a
                                            WHERE a.job_id = job.id), finished_at)
                       END AS finished_at
                  FROM aifeature_job job
                 WHERE feature = %s AND {OF_USERS} AND status IN ('succeeded', 'rejected')
                   AND finished_at >= %s AND finished_at < %s) AS j {_HELD if on else ""}"""  # noqa: S608 (our words)
    return statement, (slug, begin, end, *_arguments(on))


def _arguments(on: Sequence[Hold]) -> tuple[Any, ...]:
    """Return the arguments of `_HELD`; none if nothing was held."""
    if not on:
        return ()
    each = zip(*((h.feature, h.begins, h.ends, h.percent) for h in on), strict=True)
    return (*map(list, each), GLOBAL)
