"""Creates 28 days of jobs, calls, votes and findings of three features and 10,000 users."""

from __future__ import annotations

import psycopg

from tests.bench.history import restored_indexes

DAYS = 28
USERS = 10_000
CALLS_PER_JOB = 1.1

TABLES = (
    *("aifeature_job", "aifeature_attempt", "aifeature_feedback", "aifeature_guardevent"),
    "aifeature_spendhour",
)

_USERS = """
INSERT INTO auth_user (username, password, is_superuser, is_staff, is_active, first_name,
    last_name, email, date_joined)
SELECT 'numbers' || n, '', false, false, true, '', '', '', now()
  FROM generate_series(1, %(users)s) n
"""

# Random, but the same at each run.
_JOBS = """
INSERT INTO aifeature_job (id, user_id, feature, status, error_code, created_at, run_at,
    deadline_at, published_at, started_at, finished_at, worker, attempts, epoch, model,
    prompt_version, input_tokens, output_tokens, charge_micro, degraded)
SELECT gen_random_uuid(), u.first + (random() * (%(users)s - 1))::integer,
    (ARRAY['summarize', 'triage', 'answer'])[1 + n %% 3], s.status,
    CASE WHEN s.status = 'failed' THEN 'provider_unavailable' ELSE '' END,
    t.at, t.at, t.at + interval '300 s', t.at, t.at + w.s * interval '1 s',
    t.at + (w.s + 8 * random()) * interval '1 s', 'llm@bench', 1, 1,
    CASE WHEN s.status = 'failed' THEN '' ELSE m.model END,
    CASE WHEN s.status = 'failed' THEN '' ELSE m.version END, 700, 180, 0, n %% 500 = 0
  FROM generate_series(1, %(jobs)s) n,
    LATERAL (SELECT now() - (n - random()) * %(apart)s * interval '1 s' AS at) t,
    LATERAL (SELECT random() * random() AS s, random() AS r FROM (SELECT n) AS each) w,
    LATERAL (SELECT CASE WHEN w.r < 0.01 THEN 'failed' WHEN w.r < 0.02 THEN 'cancelled'
                         ELSE 'succeeded' END AS status) s,
    LATERAL (SELECT (ARRAY['claude-haiku-5-5', 'claude-sonnet-5', 'claude-opus-5'])[
                        1 + (w.r * 3)::integer %% 3] AS model,
                    'v' || 1 + (n * 4 / (%(jobs)s + 1)) AS version) m,
    (SELECT min(id) AS first FROM auth_user WHERE username LIKE 'numbers%%') u
"""

_CALLS = """
INSERT INTO aifeature_attempt (id, job_id, user_id, feature, epoch, number, purpose, state,
    provider, model, prompt_version, prompt_hash, input_tokens, output_tokens, cost_micro,
    bound_micro, latency_ms, ttft_ms, stop_reason, day, started_at, ended_at)
SELECT gen_random_uuid(), j.id, j.user_id, j.feature, 1, number,
    CASE number WHEN 1 THEN 'generation' ELSE 'moderation' END, 'settled', 'sandbox',
    coalesce(nullif(j.model, ''), 'claude-haiku-5-5'), coalesce(nullif(j.prompt_version, ''), 'v1'),
    repeat('0', 64), 700, 180, (300 * random())::integer, 900, 900, (2000 * random())::integer,
    'end_turn', (j.created_at AT TIME ZONE 'UTC')::date, j.started_at, j.finished_at
  FROM aifeature_job j, generate_series(1, 1 + (hashtext(j.id::text) % 10 = 0)::integer) number
"""

_VOTES = """
INSERT INTO aifeature_feedback (job_id, user_id, feature, rating, first_rating, reasons, comment,
    prompt_version, model, created_at, changed_at)
SELECT j.id, j.user_id, j.feature, r.rating, r.rating, '[]', '', j.prompt_version, j.model,
    j.finished_at, j.finished_at
  FROM aifeature_job j, LATERAL (SELECT CASE WHEN random() < 0.1 THEN -1 ELSE 1 END AS rating,
                                        random() AS r, j.id) r
 WHERE j.status = 'succeeded' AND r.r < 0.08
"""

_FINDINGS = """
INSERT INTO aifeature_guardevent (at, user_id, feature, job_id, stage, guard, category, action)
SELECT j.created_at, j.user_id, j.feature, j.id, 'input', 'personal_data', 'email', 'redacted'
  FROM aifeature_job j WHERE random() < 0.05
"""

_STAGES = """
INSERT INTO aifeature_controlchange (feature, field, old, new, reason, at, check_name)
SELECT feature, 'stage', 'beta', 'everyone', 'r', now() - interval '14 days', 'bench'
  FROM unnest(ARRAY['summarize', 'triage', 'answer']) feature
"""

_HOURS = """
INSERT INTO aifeature_spendhour (scope, key, hour, spend_micro, calls)
SELECT 'user', a.feature || ':' || a.user_id, date_trunc('hour', a.started_at, 'UTC'),
    sum(a.cost_micro), count(*)
  FROM aifeature_attempt a GROUP BY 1, 2, 3
"""


def generate(connection: psycopg.Connection, *, calls: int) -> dict[str, int]:
    """Fill the tables. The connection must be a superuser's and in autocommit mode.

    Return the number of rows of each table.
    """
    jobs = round(calls / CALLS_PER_JOB)
    values = {"users": USERS, "jobs": jobs, "apart": DAYS * 86_400 / jobs}
    connection.execute("SELECT setseed(0.18)")
    connection.execute(_USERS, values)
    with restored_indexes(connection, TABLES):
        for statement in (_JOBS, _CALLS, _VOTES, _FINDINGS, _STAGES, _HOURS):
            connection.execute(statement, values if statement is _JOBS else None)
    return {table.removeprefix("aifeature_"): _count(connection, table) for table in TABLES}


def _count(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 (our words)
    assert row is not None
    return int(row[0])
