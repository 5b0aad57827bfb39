"""Creates a history of jobs and attempts of many days."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from tests.bench.load import FEATURE

TABLES = ("aifeature_job", "aifeature_attempt")
APART_S = 31.536
"""Seconds between two jobs: a million in a year."""

_JOBS = """
INSERT INTO aifeature_job (id, user_id, feature, status, input, result, error_code, created_at,
    run_at, deadline_at, published_at, started_at, finished_at, worker, attempts, epoch, model,
    prompt_version, input_tokens, output_tokens, charge_micro)
SELECT gen_random_uuid(), (%(users)s::bigint[])[1 + n %% %(user_count)s], %(feature)s,
    CASE WHEN n %% 50 = 0 THEN 'failed' ELSE 'succeeded' END, i.input, i.result,
    CASE WHEN n %% 50 = 0 THEN 'provider_unavailable' ELSE '' END,
    t.at, t.at, t.at + interval '300 s', t.at, t.at, t.at + interval '3 s', 'llm@bench', %(each)s,
    1, 'claude-haiku-5-5', 'v3', 700, 180, 160
  FROM generate_series(1, %(jobs)s) n,
    LATERAL (SELECT now() - (n * interval '1 s' * %(apart)s) AS at) t,
    (SELECT jsonb_build_object('document', repeat('A course was paid for twice. ', 8)) AS input,
            jsonb_build_object('summary', repeat('It was paid back. ', 6)) AS result) i
"""

_ATTEMPTS = """
INSERT INTO aifeature_attempt (id, job_id, user_id, feature, epoch, number, purpose, state,
    provider, model, prompt_version, prompt_hash, request, output, input_tokens, output_tokens,
    cost_micro, bound_micro, latency_ms, ttft_ms, stop_reason, request_id, day, started_at,
    ended_at)
SELECT gen_random_uuid(), j.id, j.user_id, j.feature, 1, number,
    CASE number WHEN 1 THEN 'generation' ELSE 'repair' END, 'settled', 'sandbox',
    j.model, 'v3', repeat('0', 64), NULL, '{"summary": "It was paid back."}', 700, 180, 160,
    900, 900, 300, 'end_turn', 'req_000000000000000000000000',
    (j.created_at AT TIME ZONE 'UTC')::date, j.created_at + number * interval '0.5 s',
    j.created_at + number * interval '1 s'
  FROM aifeature_job j, generate_series(1, %(each)s) number
"""


def generate(
    connection: psycopg.Connection, users: Sequence[int], jobs: int, attempts_per_job: int
) -> None:
    """Fill the tables with ended jobs, the newest of them just now.

    Foreign keys are not checked and the indexes are built at the end, which is five times as fast.
    The connection must be a superuser's and in autocommit mode.
    """
    values = {
        "users": list(users),
        "user_count": len(users),
        "feature": FEATURE,
        "jobs": jobs,
        "each": attempts_per_job,
        "apart": APART_S,
    }
    with restored_indexes(connection, TABLES):
        connection.execute(_JOBS, values)
        connection.execute(_ATTEMPTS, values)


@contextmanager
def restored_indexes(connection: psycopg.Connection, tables: Sequence[str]) -> Iterator[None]:
    """Fill tables in one transaction without triggers, and build their indexes at the end."""
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        again = [statement for table in tables for statement in _drop_indexes(connection, table)]
        yield
        for statement in again:
            connection.execute(statement)
    for table in tables:
        connection.execute(f"VACUUM ANALYZE {table}")
    # Otherwise the writes to disk would disturb the next measurement.
    connection.execute("CHECKPOINT")


def _drop_indexes(connection: psycopg.Connection, table: str) -> list[str]:
    """Drop the indexes that no constraint needs. Return the statements that restore them."""
    rows = connection.execute(
        "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i"
        " WHERE i.indrelid = %s::regclass AND NOT EXISTS"
        " (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid)",
        [table],
    ).fetchall()
    for name, _ in rows:
        connection.execute(f"DROP INDEX {name}")
    return [definition for _, definition in rows]
