"""Triggers of the harness: the database records every change, in the same transaction.

So the evidence is complete and in order, even when processes are killed.
"""

from __future__ import annotations

from typing import Final

import psycopg

from aifeature import registry

_INSTALL: Final = """
CREATE TABLE chaos_change (
    seq bigserial PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tx bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    thing text NOT NULL,
    id uuid NOT NULL,
    job uuid,
    old_epoch integer,
    epoch integer NOT NULL,
    old_state text,
    state text NOT NULL,
    old_worker text,
    worker text,
    changed text[] NOT NULL,
    waits_for text -- the wait reason of a job that returns to the queue
);
CREATE TABLE chaos_peak (
    scope text, key text, day date, micro bigint NOT NULL,
    over bigint, -- the largest excess over the cap of the moment; caps never fall
    own_over bigint, -- the same for the user's own spend, whose cap is twice that of the charge
    PRIMARY KEY (scope, key, day)
);

CREATE FUNCTION chaos_names(a jsonb, b jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(array_agg(n.key ORDER BY n.key), '{}') FROM jsonb_each(b) n
     WHERE n.value IS DISTINCT FROM a->n.key
$$;

CREATE FUNCTION chaos_record() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    a jsonb := CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) END;
    b jsonb := to_jsonb(NEW);
BEGIN
    INSERT INTO chaos_change
        (thing, id, job, old_epoch, epoch, old_state, state, old_worker, worker, changed, waits_for)
    VALUES (TG_ARGV[0], NEW.id, (b->>TG_ARGV[1])::uuid, (a->>'epoch')::int, NEW.epoch,
            a->>TG_ARGV[2], b->>TG_ARGV[2], a->>'worker', b->>'worker',
            CASE WHEN a IS NULL THEN '{}' ELSE chaos_names(a, b) END,
            CASE WHEN a->>'status' = 'running' AND b->>'status' = 'queued'
                 THEN b->>'wait_reason' END);
    RETURN NULL;
END
$$;

CREATE TABLE chaos_code_cap ( -- of a feature for which operators set none
    feature text PRIMARY KEY, daily_usd numeric, user_daily_usd numeric
);

CREATE FUNCTION chaos_cap(p_scope text, p_key text) RETURNS bigint LANGUAGE sql AS $$
    SELECT (CASE p_scope WHEN 'user' THEN coalesce(c.user_daily_budget_usd, d.user_daily_usd)
                         WHEN 'account' THEN NULL -- charges have caps for each feature only
                         WHEN 'month' THEN c.monthly_budget_usd
                         ELSE coalesce(c.daily_budget_usd, d.daily_usd) END * 1000000)::bigint
      FROM aifeature_featurecontrol c FULL JOIN chaos_code_cap d USING (feature)
     WHERE feature = CASE WHEN p_scope IN ('global', 'month') THEN '_everything'
                          ELSE split_part(p_key, ':', 1) END
$$;

CREATE FUNCTION chaos_own_cap(p_scope text, p_key text) RETURNS bigint LANGUAGE sql AS $$
    SELECT (2 * max(c.user_daily_budget_usd) * 1000000)::bigint
      FROM aifeature_featurecontrol c
     WHERE p_scope = 'user' AND c.feature = split_part(p_key, ':', 1) OR p_scope = 'account'
$$;

CREATE FUNCTION chaos_window() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total bigint := NEW.spent_micro + NEW.held_micro;
BEGIN
    INSERT INTO chaos_peak AS p
    VALUES (NEW.scope, NEW.key, NEW.day, total, total - chaos_cap(NEW.scope, NEW.key),
            NEW.own_spend_micro + NEW.held_micro - chaos_own_cap(NEW.scope, NEW.key))
    ON CONFLICT (scope, key, day) DO UPDATE
       SET micro = greatest(p.micro, EXCLUDED.micro), over = greatest(p.over, EXCLUDED.over),
           own_over = greatest(p.own_over, EXCLUDED.own_over);
    RETURN NULL;
END
$$;

CREATE TRIGGER zz_chaos AFTER INSERT OR UPDATE ON aifeature_job
    FOR EACH ROW EXECUTE FUNCTION chaos_record('job', 'id', 'status');
CREATE TRIGGER zz_chaos AFTER INSERT OR UPDATE ON aifeature_attempt
    FOR EACH ROW EXECUTE FUNCTION chaos_record('attempt', 'job_id', 'state');
CREATE TRIGGER zz_chaos AFTER INSERT OR UPDATE ON aifeature_spendwindow
    FOR EACH ROW EXECUTE FUNCTION chaos_window();
"""


def install(connection: psycopg.Connection) -> None:
    connection.execute(_INSTALL)
    for slug, feature in registry.all_features().items():
        limits = feature.limits
        connection.execute(
            "INSERT INTO chaos_code_cap VALUES (%s, %s, %s)",
            (slug, limits.daily_budget_usd, limits.user_daily_budget_usd),
        )
