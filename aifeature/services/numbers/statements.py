"""The SQL of the sums of jobs, calls, votes and findings of guards."""

from __future__ import annotations

from typing import Final

from aifeature.models import OF_USERS
from aifeature.models.numbers import SLOT_S
from aifeature.policies.buckets import SLOW_MS
from aifeature.services.monitoring.spikes.costs import PHANTOM, SPEND
from aifeature.services.numbers.windows import BUCKETS, COUNTS, HISTOGRAMS

_KEYS: Final = ("feature", "prompt_version", "model", "stage")
_ALL: Final = (*COUNTS, *HISTOGRAMS)

# The stage of the feature at a moment.
_STAGE: Final = """coalesce((
               SELECT s.stage FROM stages s
                WHERE s.feature = {row}.feature AND {at} >= s.begins
                  AND ({at} < s.ends OR s.ends IS NULL) LIMIT 1), 'off')"""

# Calls that answer the request, in contrast to those that check it.
_ANSWERS: Final = "a.purpose IN ('generation', 'repair', 'escalation', 'chunk')"

_STEP: Final = "date_bin(make_interval(secs => %(span)s), {at}, 'epoch')"

# The held time within the latency, and within the wait. Holds may overlap: their union counts.
_HELD: Final = """
      CROSS JOIN LATERAL (
           SELECT coalesce(sum(extract(epoch FROM upper(part) - lower(part))), 0) AS of_latency,
                  coalesce(sum(extract(epoch FROM upper(part * waits) - lower(part * waits))), 0)
                      AS of_wait
             FROM (SELECT range_agg(tstzrange(h.begins, h.ends) * tstzrange(
                              j.created_at, greatest(j.created_at, answered.at))) AS parts,
                          tstzrange(j.created_at, greatest(j.created_at, j.started_at)) AS waits
                     FROM holds h
                    WHERE h.feature IN (j.feature, %(everything)s)
                      AND (h.percent = 0 OR aif_release_place(h.feature, j.user_id) >= h.percent)
                  ) AS spans, unnest(spans.parts) AS part
           ) AS held"""
_NOT_HELD: Final = "CROSS JOIN (SELECT 0 AS of_latency, 0 AS of_wait) AS held"

# `width_bucket` has edges that belong to the bucket above them, ours belong to the one below.
_BUCKET: Final = "width_bucket(ceil({ms})::bigint - 1, %(edges)s::bigint[])"

# A failed job has no model: that of its last call, so that a model that always fails is shown. The
# time in which a person decided about an answer is no latency.
_JOBS: Final = f"""
    SELECT {_STEP.format(at="j.finished_at")} AS starts_at, j.feature,
           coalesce(nullif(j.prompt_version, ''), calls.prompt_version, '') AS prompt_version,
           coalesce(nullif(j.model, ''), calls.model, '') AS model,
           {_STAGE.format(row="j", at="j.created_at")} AS stage,
           j.degraded, coalesce(calls.is_fallback, false) AS is_fallback,
           ended.counts, ended.failed,
           CASE WHEN ended.answered THEN greatest(0, 1000 * (
               extract(epoch FROM answered.at - j.created_at) - held.of_latency)) END AS latency_ms,
           CASE WHEN j.started_at IS NOT NULL THEN greatest(0, 1000 * (
               extract(epoch FROM j.started_at - j.created_at) - held.of_wait)) END AS wait_ms
      FROM aifeature_job j
      LEFT JOIN LATERAL (
           SELECT max(a.ended_at) AS ended_at,
                  (array_agg(a.model ORDER BY a.number DESC) FILTER (WHERE {_ANSWERS}))[1] AS model,
                  (array_agg(a.prompt_version ORDER BY a.number DESC)
                      FILTER (WHERE {_ANSWERS}))[1] AS prompt_version,
                  bool_or(a.purpose = 'escalation' AND a.model = j.model) AS is_fallback
             FROM aifeature_attempt a WHERE a.job_id = j.id
           ) AS calls ON true
     CROSS JOIN LATERAL (
           SELECT CASE WHEN j.approval_expires_at IS NULL THEN j.finished_at
                       ELSE coalesce(calls.ended_at, j.finished_at) END AS at
           ) AS answered
     CROSS JOIN LATERAL (
           SELECT j.status IN ('succeeded', 'rejected') AS answered,
                  j.status IN ('succeeded', 'rejected')
                      OR j.status = 'failed' AND j.error_code = ANY(%(counted)s) AS counts,
                  j.status = 'failed' AND j.error_code = ANY(%(faults)s) AS failed
           ) AS ended
     {{held}}
     WHERE j.origin = 'user' AND j.finished_at >= %(since)s AND j.finished_at < %(until)s"""  # noqa: S608 (our words)

_CALLS: Final = f"""
    SELECT {_STEP.format(at="a.started_at")} AS starts_at, a.feature, a.prompt_version, a.model,
           {_STAGE.format(row="a", at="coalesce(j.created_at, a.started_at)")} AS stage,
           a.stop_reason, a.input_tokens, a.output_tokens, a.cache_read_tokens,
           a.cache_write_tokens, a.cache_saved_micro, {SPEND} AS spend_micro,
           CASE WHEN a.purpose IN ('generation', 'escalation') THEN a.ttft_ms END AS ttft_ms
      FROM aifeature_attempt a
      LEFT JOIN aifeature_job j ON j.id = a.job_id
     WHERE a.started_at >= %(since)s AND a.started_at < %(until)s AND {OF_USERS}"""  # noqa: S608 (our words)

# A vote is never older than its last change, which is indexed.
_VOTES: Final = f"""
    SELECT {_STEP.format(at="f.created_at")} AS starts_at, f.feature, f.prompt_version, f.model,
           {_STAGE.format(row="j", at="j.created_at")} AS stage, f.first_rating
      FROM aifeature_feedback f
      JOIN aifeature_job j ON j.id = f.job_id
     WHERE f.changed_at >= %(since)s AND f.created_at >= %(since)s AND f.created_at < %(until)s
       AND j.origin = 'user' AND j.status = 'succeeded'"""  # noqa: S608 (our words)

_HITS: Final = f"""
    SELECT {_STEP.format(at="g.at")} AS starts_at, g.feature,
           coalesce(j.prompt_version, '') AS prompt_version, coalesce(j.model, '') AS model,
           {_STAGE.format(row="g", at="coalesce(j.created_at, g.at)")} AS stage
      FROM aifeature_guardevent g
      LEFT JOIN aifeature_job j ON j.id = g.job_id
     WHERE g.at >= %(since)s AND g.at < %(until)s AND g.stage <> 'guard'
       AND coalesce(j.origin, 'user') = 'user'"""  # noqa: S608 (our words)


def _histogram(name: str) -> str:
    """Return the SQL of the counts by bucket, without empty buckets at the end."""
    counts = ", ".join(f"count(*) FILTER (WHERE {name}_at = {at})" for at in range(BUCKETS))
    return f"(ARRAY[{counts}]::integer[])[1:coalesce(max({name}_at) + 1, 0)]"


def _with_buckets(query: str, *names: str) -> str:
    buckets = ", ".join(f"{_BUCKET.format(ms=f'{each}_ms')} AS {each}_at" for each in names)
    # With OFFSET, a bucket is computed once for each row, and not in each of the counts.
    return f"(SELECT r.*, {buckets} FROM ({query} OFFSET 0) AS r OFFSET 0) AS r"  # noqa: S608 (our words)


def _grouped(rows: str, **columns: str) -> str:
    """Return the SQL of one source: its columns, and nothing in all others."""
    selected = ", ".join(
        columns.get(name, "NULL::integer[]" if name in HISTOGRAMS else "0") + f" AS {name}"
        for name in _ALL
    )
    keys = ", ".join(("starts_at", *_KEYS))
    return f"SELECT {keys}, {selected} FROM {rows} GROUP BY {keys}"  # noqa: S608 (our words)


def _sources(held: str) -> str:
    jobs = _grouped(
        _with_buckets(_JOBS.format(held=held), "latency", "wait"),
        ended="count(*) FILTER (WHERE counts)",
        failed="count(*) FILTER (WHERE failed)",
        slow=f"count(*) FILTER (WHERE latency_ms > {SLOW_MS})",
        degraded="count(*) FILTER (WHERE degraded)",
        fallbacks="count(*) FILTER (WHERE is_fallback)",
        others="count(*) FILTER (WHERE NOT counts)",
        latency=_histogram("latency"),
        wait=_histogram("wait"),
    )
    summed = (*("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),)
    calls = _grouped(
        _with_buckets(_CALLS, "ttft"),
        calls="count(*)",
        refusals="count(*) FILTER (WHERE stop_reason = 'refusal')",
        ttft=_histogram("ttft"),
        **{name: f"sum({name})" for name in (*summed, "spend_micro", "cache_saved_micro")},
    )
    votes = _grouped(
        f"({_VOTES}) AS r",
        votes="count(*)",
        votes_down="count(*) FILTER (WHERE first_rating < 0)",
    )
    hits = _grouped(f"({_HITS}) AS r", guard_hits="count(*)")
    return f"{jobs}\nUNION ALL {calls}\nUNION ALL {votes}\nUNION ALL {hits}"


def _stored(fresh: str, before: str = "") -> str:
    """Return the statement that replaces the rows of a time by those of the query `fresh`."""
    keys = ", ".join(("starts_at", *_KEYS))
    names = ", ".join(_ALL)
    return f"""
        WITH {before} fresh AS MATERIALIZED ({fresh}),
        gone AS (
            DELETE FROM aifeature_numberslot n
             WHERE n.span_s = %(span)s AND n.starts_at >= %(since)s AND n.starts_at < %(until)s
               AND NOT EXISTS (SELECT 1 FROM fresh f WHERE ({_of("f", keys)}) = ({_of("n", keys)}))
        )
        INSERT INTO aifeature_numberslot AS n (span_s, {keys}, {names})
        SELECT %(span)s, {keys}, {names} FROM fresh ORDER BY {keys}
            ON CONFLICT (span_s, {keys}) DO UPDATE
           SET {", ".join(f"{name} = excluded.{name}" for name in _ALL)}
         WHERE ({_of("n", names)}) IS DISTINCT FROM ({_of("excluded", names)})"""  # noqa: S608 (our words)


def _of(table: str, names: str) -> str:
    return ", ".join(f"{table}.{name}" for name in names.split(", "))


_BEFORE: Final = """
    stages AS MATERIALIZED (
        SELECT * FROM unnest(%(stage_features)s::text[], %(stages)s::text[],
                             %(stage_begins)s::timestamptz[], %(stage_ends)s::timestamptz[])
                      AS s (feature, stage, begins, ends)
    ),
    holds AS MATERIALIZED (
        SELECT * FROM unnest(%(hold_features)s::text[], %(hold_begins)s::timestamptz[],
                             %(hold_ends)s::timestamptz[], %(hold_percents)s::integer[])
                      AS h (feature, begins, ends, percent)
    ),"""


def _united(held: str) -> str:
    keys = ", ".join(("starts_at", *_KEYS))
    each = ", ".join(
        f"coalesce(max({name}), '{{}}') AS {name}"
        if name in HISTOGRAMS
        else f"sum({name}) AS {name}"
        for name in _ALL
    )
    query = f"SELECT {keys}, {each} FROM ({_sources(held)}) AS one GROUP BY {keys}"  # noqa: S608 (our words)
    return _stored(query, _BEFORE)


def _hours() -> str:
    keys = ", ".join(_KEYS)
    counts = ", ".join(f"sum({name}) AS {name}" for name in COUNTS)
    histograms = ", ".join(
        f"(ARRAY[{', '.join(f'coalesce(sum({name}[{at}]), 0)' for at in range(1, BUCKETS + 1))}]"
        f"::integer[])[1:max(cardinality({name}))] AS {name}"
        for name in HISTOGRAMS
    )
    return _stored(
        f"""SELECT {_STEP.format(at="starts_at")} AS starts_at, {keys}, {counts}, {histograms}
              FROM aifeature_numberslot
             WHERE span_s = {SLOT_S} AND starts_at >= %(since)s AND starts_at < %(until)s
             GROUP BY 1, {keys}"""  # noqa: S608 (our words)
    )


FROM_SOURCES: Final = {
    is_held: _united(_HELD if is_held else _NOT_HELD) for is_held in (True, False)
}
HOURS: Final = _hours()

DAYS: Final = f"""
    INSERT INTO aifeature_usercostday AS d (feature, day, users, spend_micro)
    SELECT c.feature, %(day)s, count(*), sum(c.micro)
      FROM (SELECT a.feature, a.user_id, sum({SPEND} - {PHANTOM}) AS micro
              FROM aifeature_attempt a
             WHERE a.started_at >= %(since)s AND a.started_at < %(until)s AND {OF_USERS}
               AND a.user_id IS NOT NULL
             GROUP BY 1, 2) AS c
     GROUP BY 1 ORDER BY 1
        ON CONFLICT (feature, day) DO UPDATE
       SET users = excluded.users, spend_micro = excluded.spend_micro
     WHERE (d.users, d.spend_micro) IS DISTINCT FROM (excluded.users, excluded.spend_micro)"""  # noqa: S608 (our words)
