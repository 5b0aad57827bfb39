"""The observations of a canary, from its jobs and votes. Each check reads all of them again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import QuerySet

from aifeature.models import Canary, CanaryStep
from aifeature.policies.canary import (
    Arm,
    Figures,
    Metric,
    Observation,
    figures,
)
from aifeature.reasons import FAULTS, OTHER_HARMS, FailureCode
from aifeature.services.controls import GLOBAL
from aifeature.services.monitoring.held_time import holds

COST_DAYS: Final = 14
COST_JOBS: Final = 2_000
LEAST_COST_JOBS: Final = 50
COST_SHARE: Final = 0.9
"""The limit of a dear job is at this percentile of the live version's jobs."""

_COST: Final = (
    "coalesce(sum(CASE WHEN a.state IN ('started', 'unknown') THEN a.bound_micro"
    " ELSE a.cost_micro END), 0)::bigint"
)

# One row for each step and user, in one pass over the jobs: a join of parts could be planned as a
# loop over all pairs of users. The first ended job counts if its calls had the prompt of its arm: a
# worker of another release may have lacked it. The time that a switch held it is no latency, and
# neither is the time until a person approved the answer.
_QUERY: Final = f"""
    WITH jobs AS (
        SELECT j.id, j.user_id, (j.options #>> '{{canary,step}}')::bigint AS step,
               j.options #>> '{{canary,arm}}' AS arm, j.created_at, j.finished_at,
               j.status IN ('succeeded', 'rejected')
                   OR j.status = 'failed' AND j.error_code = ANY(%(codes)s) AS counts,
               v.id AS vote_id, v.first_rating AS vote, v.created_at AS voted
          FROM aifeature_job j
          JOIN {{users}} u ON u.{{key}} = j.user_id AND NOT u.is_staff
          LEFT JOIN aifeature_feedback v ON v.job_id = j.id
                AND j.prompt_version = CASE j.options #>> '{{canary,arm}}'
                                            WHEN 'candidate' THEN %(version)s
                                            ELSE %(live_version)s END
         WHERE j.feature = %(feature)s AND j.created_at >= %(since)s AND j.options ? 'canary'
           AND j.origin = 'user' AND (j.options #>> '{{canary,step}}')::bigint = ANY(%(steps)s)
    ), users AS (
        SELECT step, user_id, min(arm) AS arm, min(created_at) AS at,
               (array_agg(id ORDER BY finished_at, id) FILTER (WHERE counts))[1] AS first_id,
               (array_agg(vote ORDER BY voted, vote_id)
                   FILTER (WHERE vote_id IS NOT NULL))[1] AS vote,
               min(voted) AS voted
          FROM jobs GROUP BY step, user_id
    )
    SELECT u.step, u.user_id, u.arm, u.at,
           CASE WHEN calls.is_other IS NOT TRUE THEN f.finished_at END, f.error_code,
           coalesce(f.degraded, false), calls.cost_micro,
           1000 * coalesce(extract(epoch FROM answered.at - f.started_at), 0)::float
               - 1000 * held.seconds,
           EXISTS (SELECT 1 FROM aifeature_guardevent g
                    WHERE g.job_id = f.id AND g.stage IN ('answer', 'stream')),
           u.vote, u.voted
      FROM users u
      LEFT JOIN aifeature_job f ON f.id = u.first_id
      LEFT JOIN LATERAL (
           SELECT {_COST} AS cost_micro, max(a.ended_at) AS ended_at,
                  bool_or(a.purpose IN ('generation', 'repair', 'escalation')
                          AND a.prompt_hash <> CASE u.arm WHEN 'candidate' THEN %(hash)s
                                                          ELSE %(live_hash)s END) AS is_other
             FROM aifeature_attempt a WHERE a.job_id = f.id
           ) calls ON true
      CROSS JOIN LATERAL (
           SELECT CASE WHEN f.approval_expires_at IS NULL THEN f.finished_at
                       ELSE coalesce(calls.ended_at, f.finished_at) END AS at
           ) AS answered
      CROSS JOIN LATERAL (
           SELECT coalesce(sum(extract(epoch FROM upper(part) - lower(part))), 0)::float AS seconds
             FROM (SELECT range_agg(tstzrange(h.begins, h.ends) * tstzrange(
                              f.started_at, greatest(f.started_at, answered.at))) AS parts
                     FROM unnest(%(hold_features)s::text[], %(hold_begins)s::timestamptz[],
                                 %(hold_ends)s::timestamptz[], %(hold_percents)s::integer[])
                          AS h (feature, begins, ends, percent)
                    WHERE f.started_at IS NOT NULL AND h.feature IN (%(feature)s, %(everything)s)
                      AND (h.percent = 0
                           OR aif_release_place(h.feature, u.user_id) >= h.percent)
                  ) AS all_parts, unnest(all_parts.parts) AS part
           ) AS held
"""  # noqa: S608 (our words)

_LIVE_COST: Final = f"""
    SELECT count(*), percentile_disc({COST_SHARE}) WITHIN GROUP (ORDER BY calls.cost_micro)
      FROM (SELECT j.id FROM aifeature_job j
             WHERE j.feature = %s AND j.prompt_version = %s AND j.origin = 'user'
               AND j.status = 'succeeded' AND NOT j.degraded
               AND j.created_at > statement_timestamp() - make_interval(days => {COST_DAYS})
             ORDER BY j.created_at DESC LIMIT {COST_JOBS}) AS newest
     CROSS JOIN LATERAL (SELECT {_COST} AS cost_micro FROM aifeature_attempt a
                          WHERE a.job_id = newest.id) AS calls
"""  # noqa: S608 (our words)


@dataclass(frozen=True, slots=True)
class User:
    """One user in one step: the first job that counts, and the first vote."""

    step: int
    user: int
    arm: Arm
    began: datetime
    """Submission of their first job."""
    ended: datetime | None
    """End of the first job that counts; None if there is none yet."""
    error_code: str
    is_plain: bool
    """Whether the feature's plain answer replaced an error of the provider."""
    cost_micro: int
    took_ms: float
    is_guard_hit: bool
    vote: int | None
    voted: datetime | None

    def observed(self, harmed: bool) -> Observation:  # noqa: FBT001 (the only value)
        return Observation(self.step, self.user, self.arm, harmed)


def read(canary: Canary) -> Figures:
    """Return the figures of a canary now, with one query for its users."""
    steps: QuerySet[CanaryStep] = canary.steps.all()
    percents = {step.pk: step.percent for step in steps}
    users = sorted(_users(canary, list(percents)), key=lambda each: (each.began, each.user))
    return figures(
        observations(canary, users), [each.observed(harmed=False) for each in users], percents
    )


def observations(canary: Canary, users: Sequence[User]) -> Mapping[Metric, list[Observation]]:
    """Return the observations by metric in the order of time."""
    jobs = sorted(
        ((each.ended, each.user, each) for each in users if each.ended is not None),
        key=lambda row: row[:2],
    )
    votes = sorted(
        ((each.voted, each.user, each) for each in users if each.voted is not None),
        key=lambda row: row[:2],
    )
    unsafe = FailureCode.ANSWER_UNSAFE
    ended = [each for *_, each in jobs]
    found = {
        Metric.ERRORS: [u.observed(u.is_plain or u.error_code in FAULTS) for u in ended],
        Metric.REFUSALS: [u.observed(u.error_code == FailureCode.ANSWER_REFUSED) for u in ended],
        Metric.THUMBS_DOWN: [u.observed(u.vote == -1) for *_, u in votes],
        Metric.SLOW: [u.observed(u.took_ms > canary.latency_limit_ms) for u in ended],
        Metric.GUARD_HITS: [u.observed(u.is_guard_hit or u.error_code == unsafe) for u in ended],
    }
    if (limit := canary.cost_limit_micro) is not None:
        found[Metric.DEAR] = [u.observed(u.cost_micro > limit) for u in ended]
    return found


def cost_limit_micro(feature: str, live_version: str) -> int | None:
    """Return the micro-dollars above which a job is dear; None if too few jobs are known."""
    with connection.cursor() as cursor:
        cursor.execute(_LIVE_COST, [feature, live_version])
        count, limit = cursor.fetchone()
    return None if count < LEAST_COST_JOBS else int(limit)


def _users(canary: Canary, steps: list[int]) -> Iterator[User]:
    people, on = get_user_model()._meta, holds(canary.created_at)  # noqa: SLF001 (public in Django)
    quote = connection.ops.quote_name
    query = _QUERY.replace("{users}", quote(people.db_table))
    query = query.replace("{key}", quote(str(people.pk.column)))
    values: dict[str, Any] = {
        "feature": canary.feature,
        "everything": GLOBAL,
        "since": canary.created_at,
        "steps": steps,
        "codes": sorted(FAULTS | OTHER_HARMS),
        "version": canary.version,
        "hash": canary.prompt_hash,
        "live_version": canary.live_version,
        "live_hash": canary.live_hash,
        "hold_features": [hold.feature for hold in on],
        "hold_begins": [hold.begins for hold in on],
        "hold_ends": [hold.ends for hold in on],
        "hold_percents": [hold.percent for hold in on],
    }
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        for row in cursor.fetchall():
            step, user, arm, began, ended, code, *rest = row
            yield User(step, user, Arm(arm), began, ended, code or "", *rest)
